"""What quality spreads over: each seed of each cell, their mean, and where it lies with confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import NullLocator

from lorafa_prof.figures.figure import RecordFigure
from lorafa_prof.figures.kit.learned import LearnedCell, learned_cells, quality_label, rows_of, seeds_note
from lorafa_prof.figures.kit.page import (
    MARGIN,
    Panel,
    PanelRow,
    assemble,
    column_width,
    draw_name,
    new_drawing,
    text_width,
)
from lorafa_prof.figures.kit.points import distinct_names, fixed, left_out
from lorafa_prof.figures.kit.scatter import Axis, plain
from lorafa_prof.figures.kit.style import Look, looks, pt, style
from lorafa_prof.quality.measures import QUALITY, values_by_seed
from lorafa_prof.results.records import Results

_TITLE = "Quality by seed"
_NOTE = "Small points are seeds, the large one is their mean."
_LINE, _BELOW = 0.15, 0.38
_MOST_CELLS = 60
#: Names of cells may take so much of the width.
_NAMES = 0.55


@style()
def draw(results: Results) -> Drawing:
    """A panel for each model and task, a line for each cell.

    Raises:
        NoDataError: no run got to its end, or none has a metric.
        UsageError: the table of runs cannot be read.
    """
    cells = learned_cells(results)
    rows = rows_of([(cell.point, cell.group) for cell in cells])
    most = _MOST_CELLS // len(rows)
    drawn = [cells[place] for places in rows.values() for place in places[:most]]
    points = list({cell.point.cell_id: cell.point for cell in drawn}.values())
    names, look = distinct_names(points), looks(point.method for point in points)
    drawing = new_drawing()
    room = column_width(len(rows))
    placed = [
        _row(drawing, name, [cells[place] for place in places[:most]], names, look, room)
        for name, places in rows.items()
    ]
    assemble(
        drawing,
        title=_TITLE,
        shared=fixed(points),
        rows=placed,
        handles=[],
        notes=[f"{_NOTE} {seeds_note(drawn)}", *left_out(len(cells) - len(drawn), len(cells))],
    )
    return drawing


def _row(
    drawing: Drawing,
    name: str,
    cells: Sequence[LearnedCell],
    names: Mapping[str, str],
    look: Mapping[str, Look],
    room: float,
) -> PanelRow:
    axes = drawing.add_axes((0, 0, 1, 1), label=f"seeds:{name}")
    labels = [_fitting(drawing, names[cell.point.cell_id], _NAMES * room) for cell in cells]
    left = MARGIN + 0.06 + max(text_width(drawing, label) for label in labels)
    width = room - MARGIN - left - 0.1
    for level, cell in enumerate(cells):
        _draw_cell(axes, level, cell, look[cell.point.method])
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_yticks(range(len(cells)), labels)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    values = [
        value
        for cell in cells
        for value in (*values_by_seed(cell.group, QUALITY).values(), *(cell.span or ()))
    ]
    x = Axis(quality_label(cell.group for cell in cells), plain).as_wished("x")
    limits = x.limits(values)
    ticks = x.ticks(*limits)
    axes.set_xlim(limits)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), x.thinned(drawing, ticks, limits, width))
    axes.set_xlabel(x.label)
    panel = Panel(axes, left, width)
    above = draw_name(drawing, panel, name, room)
    return PanelRow((panel,), _LINE * len(cells) + 0.05, above, _BELOW)


def _fitting(drawing: Drawing, label: str, inches: float) -> str:
    """The label, its end cut off where it is wider."""
    if text_width(drawing, label) <= inches:
        return label
    while label and text_width(drawing, f"{label}…") > inches:
        label = label[:-1]
    return f"{label}…"


def _draw_cell(axes: Axes, level: int, cell: LearnedCell, look: Look) -> None:
    seeds = list(values_by_seed(cell.group, QUALITY).values())
    cell_id = cell.point.cell_id
    if cell.span:
        axes.plot(cell.span, (level, level), color=look.color, linewidth=pt(1.1), gid=f"span:{cell_id}")
    axes.plot(
        seeds,
        [level] * len(seeds),
        linestyle="none",
        marker="o",
        markersize=pt(2.4),
        markerfacecolor="white",
        markeredgecolor=look.color,
        markeredgewidth=pt(0.6),
        gid=f"seeds:{cell_id}",
    )
    axes.plot(
        [cell.quality.mean],
        [level],
        marker=look.marker,
        markersize=pt(4),
        color=look.color,
        markeredgecolor="white",
        markeredgewidth=pt(0.3),
        gid=f"mean:{cell_id}",
    )


FIGURE = RecordFigure("quality-by-seed", _TITLE, draw, of_learning=True)
