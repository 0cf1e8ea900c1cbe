"""Quality over the rank of the adapters, with methods that have none as lines across."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure as Drawing

from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.curves import Curve, CurvePanel, Place, curve_handle
from lorafa_prof.figures.kit.learned import LearnedCell, learned_cells, quality_label, rows_of, seeds_note
from lorafa_prof.figures.kit.lines import apart_of, rows_apart
from lorafa_prof.figures.kit.page import PanelRow, assemble, column_width, new_drawing
from lorafa_prof.figures.kit.panels import MOST_ROWS, panel_row, plot_height
from lorafa_prof.figures.kit.points import Point, fixed, left_out, swept
from lorafa_prof.figures.kit.scatter import Axis, plain
from lorafa_prof.figures.kit.series import Series, series_of
from lorafa_prof.figures.kit.style import style
from lorafa_prof.results.records import Results

_TITLE = "Quality over rank"


@style()
def draw(results: Results) -> Drawing:
    """A panel for each model and task, a line for the cells that differ in nothing but the rank.

    Where these would be too many lines for a panel, there is one for each value of some other setting too.

    Raises:
        NoDataError: no run got to its end, none has a metric, or no two cells differ in the rank alone.
        UsageError: the table of runs cannot be read.
    """
    cells = learned_cells(results)
    points = list({cell.point.cell_id: cell.point for cell in cells}.values())
    if not swept(points, "rank"):
        raise NoDataError("the rank was not swept: no two cells differ in it alone")
    apart = apart_of(points, "rank")
    series = series_of(points, "rank", apart)
    rows = _rows(cells, apart)
    ranks = tuple(sorted({float(rank) for cell in cells if (rank := cell.group.settings.get("rank"))}))
    x = Axis("rank", plain, logarithmic=True, places=ranks)
    drawn = {id(cell) for members in rows.values() for cell in members}
    drawing = new_drawing()
    room = column_width(len(rows))
    placed: list[PanelRow] = []
    handles: dict[str, Artist] = {}
    for name, members in rows.items():
        curves = [curve for line in series if (curve := _curve(line, members))]
        y = Axis(quality_label(cell.group for cell in members), plain)
        panel = CurvePanel("quality", curves, x, y, plot_height(len(rows)))
        placed.append(panel_row(drawing, name, [panel], room))
        for curve in curves:
            handles.setdefault(curve.name, curve_handle(curve, curve.name))
    assemble(
        drawing,
        title=_TITLE,
        shared=fixed(points),
        rows=placed,
        handles=list(handles.values()),
        notes=[seeds_note(cells), *left_out(len(cells) - len(drawn), len(cells))],
    )
    return drawing


def _rows(cells: Sequence[LearnedCell], apart: Sequence[str]) -> dict[str, list[LearnedCell]]:
    """The cells of each panel, by its name; of so many panels as there is room for."""
    rows: dict[str, list[LearnedCell]] = {}
    for name, places in rows_of([(cell.point, cell.group) for cell in cells]).items():
        by_id = {cells[place].point.cell_id: cells[place] for place in places}
        for said, ids in rows_apart([cell.point for cell in by_id.values()], apart).items():
            task = name.rpartition(", ")[2]
            rows[f"{said}, {task}"] = [by_id[cell_id] for cell_id in ids]
    return dict(list(rows.items())[:MOST_ROWS])


def _curve(line: Series, members: Sequence[LearnedCell]) -> Curve | None:
    """The cells of a panel that are on a line; None where none is."""
    by_id = {cell.point.cell_id: cell for cell in members}
    ordered = line.of(by_id.keys(), "rank")
    if not ordered:
        return None
    places = tuple(_place(point, by_id[point.cell_id]) for point in ordered)
    return Curve(line.label, line.style, places, level=line.reference)


def _place(point: Point, cell: LearnedCell) -> Place:
    rank = point.settings["rank"]
    low, high = cell.span or (cell.quality.mean, cell.quality.mean)
    return Place(float(rank) if isinstance(rank, int | float) else 0.0, cell.quality.mean, low, high)


FIGURE = RecordFigure("quality-over-rank", _TITLE, draw, of_learning=True)
