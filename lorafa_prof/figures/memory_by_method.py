"""What holds the memory of a step: weights, optimizer state, gradients, activations, against the peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.bar import Bar
from lorafa_prof.figures.kit.memory_stack import PEAK, draw_stacks, stacked_bar
from lorafa_prof.figures.kit.points import Point, points_of
from lorafa_prof.figures.kit.style import style
from lorafa_prof.parts import PEAK_PARTS
from lorafa_prof.results.peak_parts import peak_parts

_TITLE = "Memory of one training step, by method"
_COLUMNS = ("weights_bytes", "optimizer_bytes", "gradients_bytes", "activation_bytes")


def _unknown(points: Sequence[Point], bars: Mapping[str, Bar]) -> list[str]:
    unknown = [
        PEAK_PARTS[key].name
        for key in _COLUMNS
        if any(point.cell_id in bars and point.value(key) is None for point in points)
    ]
    return [f"Not measured in some cells, so part of other there: {', '.join(unknown)}."] if unknown else []


@style()
def draw(table: DataFrame) -> Drawing:
    """A bar of every cell.

    Raises:
        NoDataError: no cell that finished has any of these numbers.
    """
    points = points_of(table)
    bars = {
        point.cell_id: bar
        for point in points
        if point.ok and (bar := stacked_bar(point, peak_parts(point.values))) is not None
    }
    if not bars:
        raise NoDataError(f"no finished cell has {PEAK} or any part of it")
    return draw_stacks(_TITLE, points, bars, _unknown(points, bars))


FIGURE = Figure("memory-by-method", _TITLE, draw)
