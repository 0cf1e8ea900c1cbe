"""What holds the memory of a step, the tensors that autograd saved told apart by kind."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.bar import Bar
from lorafa_prof.figures.kit.bars import MOST_BARS
from lorafa_prof.figures.kit.memory_stack import draw_stacks, stacked_bar
from lorafa_prof.figures.kit.points import Point, points_of
from lorafa_prof.figures.kit.style import style
from lorafa_prof.parts import PEAK_PARTS
from lorafa_prof.results.peak_parts import peak_parts, saved_by_kind
from lorafa_prof.results.records import Results

_TITLE = "Memory of one training step, by kind"
_UNSAVED = "unsaved"
_NOTE = (
    f"{PEAK_PARTS[_UNSAVED].name.capitalize()}: the rest of the activation memory, such as the loss and "
    "what the allocator rounds up."
)


def _bars(points: list[Point], results: Results) -> dict[str, Bar]:
    """As many bars as there is room for: no more records are read."""
    bars: dict[str, Bar] = {}
    for point in points:
        if point.ok and len(bars) < MOST_BARS:
            by_kind = results.read(point.cell_id, saved_by_kind)
            if by_kind is None:
                continue
            bar = stacked_bar(point, peak_parts(point.values, by_kind))
            bars |= {point.cell_id: bar} if bar else {}
    return bars


@style()
def draw(results: Results) -> Drawing:
    """A bar of every cell that has a record with its saved tensors.

    Raises:
        NoDataError: no cell that finished has one.
    """
    points = points_of(results.table)
    bars = _bars(points, results)
    if not bars:
        raise NoDataError("no finished cell has a record (OUT/cells) that tells what autograd saved")
    drawn = {stretch.key for bar in bars.values() for stretch in bar.stretches}
    return draw_stacks(_TITLE, points, bars, [_NOTE] if _UNSAVED in drawn else [])


FIGURE = RecordFigure("memory-by-kind", _TITLE, draw)
