"""Cells that are alike in all but one thing: only these are compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lorafa_prof.figures.kit.points import SETTINGS, Point

#: What full fine-tuning has none of.
_OF_ADAPTERS = ("rank", "targets", "dropout", "adapter_dtype")


def pairs(points: Sequence[Point], method: str, reference: str) -> list[tuple[Point, Point]]:
    """Cells of two methods alike in all settings that both have; none where several are."""
    ignored = _OF_ADAPTERS if reference == "full-ft" else ()
    names = [name for name in SETTINGS if name not in ignored]
    others = _together([point for point in points if point.method == reference], names)
    return [
        (point, alike[0])
        for point in points
        if point.method == method and len(alike := others.get(_key(point, names), [])) == 1
    ]


def swept_groups(points: Sequence[Point], axis: str) -> list[list[Point]]:
    """Cells alike in all but the setting `axis`, or the ``model``, with one cell for each of its values.

    Those that lack the setting, and groups in which something without a column differs too, are left out.
    """
    names = [name for name in SETTINGS if name != axis]
    having = [point for point in points if setting(point, axis) is not None]
    groups = _together(having, names, with_model=axis != "model", with_method=True).values()
    return [group for group in groups if 1 < len(group) == len({setting(point, axis) for point in group})]


def setting(point: Point, axis: str) -> str | int | float | None:
    """A setting of a cell, of which its model is one."""
    return point.model if axis == "model" else point.settings[axis]


def _together(
    points: Sequence[Point], names: Sequence[str], *, with_model: bool = True, with_method: bool = False
) -> dict[tuple[object, ...], list[Point]]:
    groups: defaultdict[tuple[object, ...], list[Point]] = defaultdict(list)
    for point in points:
        groups[_key(point, names, with_model=with_model, with_method=with_method)].append(point)
    return groups


def _key(
    point: Point, names: Sequence[str], *, with_model: bool = True, with_method: bool = False
) -> tuple[object, ...]:
    own = (point.model if with_model else None, point.method if with_method else None)
    return (*own, *(point.settings[name] for name in names))
