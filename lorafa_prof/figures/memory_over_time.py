"""Memory over the course of a step, by kind: of one cell for each method, its step run again on the twin."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.figures.figure import NoDataError, RecordFigure
from lorafa_prof.figures.kit.page import assemble, column_width, new_drawing
from lorafa_prof.figures.kit.points import METHOD_SETTINGS, Point, differing, fixed, named, points_of
from lorafa_prof.figures.kit.representatives import largest_of_each_method, not_drawn
from lorafa_prof.figures.kit.step_panel import NOTE, StepMemory, kinds_seen, legend, step_panel, too_small
from lorafa_prof.figures.kit.style import current_page, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.results.records import Results
from lorafa_prof.words.numbers import size
from lorafa_prof.words.scales import bytes_scale

_TITLE = "Memory over one training step"
# Inches of a panel; on a page of fixed height the least, since panels grow to fill it.
_HEIGHT, _LEAST_HEIGHT = 1.1, 0.7


def _step(results: Results, point: Point) -> DataFrame | None:
    """The step on the twin of the cell's GPU; None where that cannot be had."""
    # What only this figure needs takes seconds to load.
    from lorafa_prof.devices.device import cell_on_twin
    from lorafa_prof.devices.sim.settings import settings_of_record
    from lorafa_prof.instruments.allocations.live_bytes import live_bytes
    from lorafa_prof.running.recorded_step import predict_timeline

    record = results.load(point.cell_id)
    cell = cell_on_twin(record.cell) if record is not None else None
    if record is None or cell is None:
        return None
    try:
        timeline = predict_timeline(cell, settings_of_record(record.environment))
    except LorafaProfError:  # what it is built of is not here; another cell of its method may do
        return None
    return live_bytes(timeline) if timeline.steady is not None else None


@style()
def draw(results: Results) -> Drawing:
    """A stacked area for each of up to four cells, one below the other, on one scale.

    Raises:
        NoDataError: of no cell that finished is the record there, and a twin that could run its step again.
    """
    chosen = largest_of_each_method(points_of(results.table), lambda point: _step(results, point))
    if not chosen:
        raise NoDataError(
            "no finished cell has a record (OUT/cells) and a GPU whose twin could run its step again"
        )
    drawing = new_drawing()
    points = [point for point, _ in chosen]
    own = differing(points, METHOD_SETTINGS)
    steps = [StepMemory(table, named(point, own)) for point, table in chosen]
    largest = max(step.largest_bytes for step in steps)
    scale, room = bytes_scale(largest), column_width(len(steps))
    height = _HEIGHT if current_page().height is None else _LEAST_HEIGHT
    seen = kinds_seen(steps, largest)
    assemble(
        drawing,
        title=_TITLE,
        shared=", ".join(filter(None, (said(points[0].model), fixed(points)))),
        rows=[step_panel(drawing, step, scale, largest, room, height) for step in steps],
        handles=legend(seen),
        notes=[
            *_measured_otherwise(chosen),
            *too_small(steps, seen),
            *not_drawn(len(chosen), len(results.table)),
            NOTE,
        ],
    )
    return drawing


def _measured_otherwise(chosen: list[tuple[Point, DataFrame]]) -> list[str]:
    """Whose peak the table has otherwise."""
    told = []
    for point, table in chosen:
        peak, drawn = point.value("peak_allocated_bytes"), float(table["allocated_bytes"].max())
        if peak is not None and peak != drawn:
            told.append(f"{named(point, ())}: the peak in the table is {size(peak)}.")
    return told


FIGURE = RecordFigure("memory-over-time", _TITLE, draw, on_request=True)
