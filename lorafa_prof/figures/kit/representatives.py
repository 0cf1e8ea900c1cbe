"""One cell for each method, for figures that have room for a few cells only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lorafa_prof.figures.kit.points import CONTEXT_SETTINGS, Point
from lorafa_prof.figures.kit.style import method_order
from lorafa_prof.words.phrases import count

T = TypeVar("T")

#: More are not compared at a glance.
MOST_CELLS = 4


def largest_of_each_method(
    points: Sequence[Point], shown: Callable[[Point], T | None]
) -> list[tuple[Point, T]]:
    """The largest cell of each method that has something to show, `MOST_CELLS` at most, of one context.

    Largest is what has the highest peak. Of several models and contexts that with most methods is taken, and
    of these the one with the largest cell.

    Args:
        points: in the order of figures.
        shown: what there is to show of a cell that finished; None for nothing. Called no more than needed.
    """
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        if point.ok:
            key = (point.model, *(point.settings[name] for name in CONTEXT_SETTINGS))
            groups.setdefault(key, []).append(point)
    ordered = sorted(
        groups.values(), key=lambda group: (-len({p.method for p in group}), -max(map(_size, group)))
    )
    for group in ordered:
        found: dict[str, tuple[Point, T]] = {}
        for point in sorted(group, key=lambda point: (method_order(point.method), -_size(point))):
            if point.method not in found and len(found) < MOST_CELLS:
                what = shown(point)
                if what is not None:
                    found[point.method] = point, what
        if found:
            return list(found.values())
    return []


def _size(point: Point) -> float:
    return point.value("peak_allocated_bytes") or 0.0


def not_drawn(drawn: int, total: int) -> list[str]:
    """A note on the cells that are not drawn; none where all are drawn."""
    if total <= drawn:
        return []
    return [f"Not drawn: {total - drawn:,} of {count(total, 'cell')}; drawn is the largest of each method."]
