"""Which cells a line may join: those that differ in nothing but the axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lorafa_prof.figures.kit.points import SETTINGS, Point, Setting, differing, named, sort_key
from lorafa_prof.figures.kit.style import (
    DASHES,
    REFERENCE_DASHES,
    Dash,
    Look,
    looks,
    method_order,
    paler,
)

Key = tuple[str, tuple[Setting, ...]]


@dataclass(frozen=True)
class SeriesStyle:
    """How a series is drawn in every panel. `weight` scales line and marker."""

    color: tuple[float, float, float]
    marker: str
    dash: Dash
    filled: bool
    weight: float


@dataclass(frozen=True)
class Series:
    """Cells that share the method and every setting but the axis, model and what panels tell apart.

    `reference` says that the method has no value on the axis (Full-FT has no rank).
    """

    label: str
    style: SeriesStyle
    points: tuple[Point, ...]
    reference: bool

    def of(self, cells: Collection[str], axis: str) -> list[Point]:
        """Those of the series' points whose cell_id is among `cells`, along the axis."""
        found = [point for point in self.points if point.cell_id in cells]
        return sorted(found, key=lambda point: sort_key(point.settings[axis]))


def series_of(points: Sequence[Point], axis: str, apart: Collection[str] = ()) -> list[Series]:
    """Group cells into series, with a style each that tells it from the others of its method.

    Args:
        points: cells of all models.
        axis: the setting along which cells are joined.
        apart: settings by which the caller draws cells in panels of their own; they name no series.
    """
    keyed = [name for name in SETTINGS if name != axis and name not in apart]
    naming = differing(points, keyed)
    grouped: dict[Key, list[Point]] = {}
    for point in points:
        others = tuple(point.settings[name] for name in keyed)
        # A missing value on the axis is a setting of its own: it cannot be joined to the rest.
        grouped.setdefault((point.method, (point.settings[axis] is None, *others)), []).append(point)
    look = looks(method for method, _ in grouped)
    variants: Counter[str] = Counter()
    series = []
    for index, key in enumerate(sorted(grouped, key=_key_order)):
        method, settings = key
        reference = bool(settings[0])
        label = named(grouped[key][0], naming)
        series.append(
            Series(
                f"{label} (no {axis})" if reference else label,
                _style(look[method], variants[method], reference, _weight(index, len(grouped))),
                tuple(grouped[key]),
                reference,
            )
        )
        variants[method] += 1
    return series


def styles_of(points: Sequence[Point]) -> dict[str, SeriesStyle]:
    """A style for each cell that is a line of its own, by id; those of one method in the order given."""
    look = looks(point.method for point in points)
    variants: Counter[str] = Counter()
    styles = {}
    for index, point in enumerate(points):
        variant = variants[point.method]
        styles[point.cell_id] = _style(look[point.method], variant, False, _weight(index, len(points)))
        variants[point.method] += 1
    return styles


def _key_order(key: Key) -> tuple[object, ...]:
    method, settings = key
    return (method_order(method), tuple(sort_key(setting) for setting in settings))


def _weight(index: int, count: int) -> float:
    """Later lines are drawn thinner, so that an equal one under them still shows."""
    return 1.25 - 0.5 * index / max(count - 1, 1)


def _style(look: Look, variant: int, reference: bool, weight: float) -> SeriesStyle:
    """Dashes first, then hollow markers, then paler colours: what survives black-and-white print first."""
    dashes = REFERENCE_DASHES if reference else DASHES
    rounds, dash = divmod(variant, len(dashes))
    pale = rounds if reference else rounds // 2  # a line without markers has none to make hollow
    return SeriesStyle(
        paler(look.color, min(0.35 * pale, 0.7)), look.marker, dashes[dash], rounds % 2 == 0, weight
    )
