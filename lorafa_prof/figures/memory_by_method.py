"""What holds the memory of a step: weights, optimizer state, gradients, activations, against the peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.bar import Bar
from lorafa_prof.figures.kit.memory_stack import PEAK, STATIC, MemoryStack, PartLook
from lorafa_prof.figures.kit.points import Point, points_of
from lorafa_prof.figures.kit.style import ORANGE, style

_STACK = MemoryStack(
    "Memory of one training step, by method",
    {**STATIC, "activation_bytes": PartLook("activations", ORANGE)},
)


def _bar(point: Point) -> Bar | None:
    lengths = {key: length for key in _STACK.parts if (length := point.value(key)) is not None}
    return _STACK.bar(lengths, point.value(PEAK))


def _unknown(points: Sequence[Point], bars: Mapping[str, Bar]) -> list[str]:
    unknown = [
        look.label
        for key, look in _STACK.parts.items()
        if any(point.cell_id in bars and point.value(key) is None for point in points)
    ]
    return [f"Not measured in some cells, so part of other there: {', '.join(unknown)}."] if unknown else []


@style()
def draw(table: DataFrame) -> Drawing:
    """A `MemoryStack` of every cell.

    Raises:
        NoDataError: no cell that finished has any of these numbers.
    """
    points = points_of(table)
    bars = {point.cell_id: bar for point in points if (bar := _bar(point)) is not None}
    if not bars:
        raise NoDataError(f"no finished cell has {PEAK} or any part of it")
    return _STACK.draw(points, bars, _unknown(points, bars))


FIGURE = Figure("memory-by-method", _STACK.title, draw)
