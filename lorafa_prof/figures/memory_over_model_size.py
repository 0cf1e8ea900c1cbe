"""Peak and activation memory of a step over the number of the model's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.lines import MEMORY
from lorafa_prof.figures.kit.marked import rings_note
from lorafa_prof.figures.kit.page import assemble, column_width, new_drawing
from lorafa_prof.figures.kit.panels import MOST_ROWS, panel_row, plot_height
from lorafa_prof.figures.kit.points import (
    CONTEXT_SETTINGS,
    METHOD_SETTINGS,
    Point,
    differing,
    fixed,
    left_out,
    phrases,
    points_of,
)
from lorafa_prof.figures.kit.scatter import Axis, Mark, ScatterPanel, method_handles, plain
from lorafa_prof.figures.kit.style import Look, looks, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.words.phrases import count, first_of
from lorafa_prof.words.scales import bytes_scale

_TITLE = "Memory of one training step over the model's size"
_MOST_NAMED = 8


def _count(parameters: float) -> str:
    """125M, 6.74B."""
    size, unit = (1e9, "B") if parameters >= 1e9 else (1e6, "M") if parameters >= 1e6 else (1e3, "K")
    return f"{parameters / size:,.3g}{unit}"


_X = Axis("parameters", _count, logarithmic=True)


def _sizes(points: Sequence[Point]) -> dict[str, float]:
    """Parameters of each cell; of one that failed before they were counted, the fewest of its model."""
    known = {point.cell_id: size for point in points if (size := point.values.get("params_total"))}
    of_model: dict[str, float] = {}
    for point in points:
        if point.cell_id in known:
            of_model[point.model] = min(known[point.cell_id], of_model.get(point.model, float("inf")))
    return {
        point.cell_id: known.get(point.cell_id, of_model[point.model])
        for point in points
        if point.model in of_model
    }


def _panels(
    points: Sequence[Point], sizes: Mapping[str, float], look: Mapping[str, Look], height: float
) -> list[ScatterPanel]:
    failed = [(point.method, sizes[point.cell_id]) for point in points if point.status == "oom"]
    panels = []
    for metric in MEMORY:
        values = {point.cell_id: value for point in points if (value := point.value(metric.column))}
        if values:
            scale = bytes_scale(max(values.values()))
            named = _highest(points, values)
            marks = [
                Mark(
                    point.method,
                    sizes[point.cell_id],
                    values[point.cell_id] / scale.divisor,
                    point.against(metric.column),
                    name=said(point.model) if point.cell_id in named else "",
                )
                for point in points
                if point.cell_id in values
            ]
            axis = Axis(f"{said(metric.label)} ({scale.unit})", plain, logarithmic=True)
            panels.append(ScatterPanel(metric.column, marks, _X, axis, look, height, failed=failed))
    return panels


def _highest(points: Sequence[Point], values: Mapping[str, float]) -> set[str]:
    """The cell of each model that has the largest of these values: the model's name stands at its point."""
    highest: dict[str, str] = {}
    for point in points:
        if point.cell_id in values:
            best = highest.setdefault(point.model, point.cell_id)
            highest[point.model] = max(best, point.cell_id, key=lambda cell_id: values[cell_id])
    return set(highest.values())


@style()
def draw(table: DataFrame) -> Drawing:
    """A point for each cell, in its method's colour, both axes logarithmic.

    Points are not joined: models differ in more than their size. A row of panels for each context.

    Raises:
        NoDataError: no finished cell has its parameters and its memory.
    """
    everything = points_of(table)
    sizes = _sizes(everything)
    points = [point for point in everything if point.cell_id in sizes and point.status in ("ok", "oom")]
    look = looks(point.method for point in points)
    context = differing(points, CONTEXT_SETTINGS)
    rows: dict[str, list[Point]] = {}
    for point in points:
        rows.setdefault(phrases(point, context) or "all models", []).append(point)
    height = plot_height(len(rows))
    panels = {
        name: found for name, members in rows.items() if (found := _panels(members, sizes, look, height))
    }
    if not panels:
        raise NoDataError("no finished cell has params_total and peak_allocated_bytes or activation_bytes")
    if len({point.model for point in points}) == 1:
        raise NoDataError("all cells of known size are of one model")
    shown = dict(list(panels.items())[:MOST_ROWS])
    drawing = new_drawing()
    room = column_width(len(shown))
    drawn = sum(len(rows[name]) for name in shown)
    assemble(
        drawing,
        title=_TITLE,
        shared=fixed(points),
        rows=[panel_row(drawing, name, members, room) for name, members in shown.items()],
        handles=method_handles(look),
        notes=[
            _models(points, sizes),
            *_unmarked(points),
            *rings_note(mark.doubts for row in shown.values() for panel in row for mark in panel.marks),
            *_failed(len(everything) - len(points)),
            *left_out(len(points) - drawn, len(points)),
        ],
    )
    return drawing


def _models(points: Sequence[Point], sizes: Mapping[str, float]) -> str:
    """The models by size, since the axis has numbers only."""
    fewest: dict[str, float] = {}
    for point in points:
        fewest[point.model] = min(sizes[point.cell_id], fewest.get(point.model, float("inf")))
    ordered = sorted(fewest, key=lambda model: fewest[model])
    named = first_of([f"{said(model)} {_count(fewest[model])}" for model in ordered], _MOST_NAMED)
    return f"Models: {named}. Adapters count among the parameters."


def _unmarked(points: Sequence[Point]) -> list[str]:
    own = differing(points, METHOD_SETTINGS)
    return [f"Points of one colour differ in {', '.join(own)}."] if own else []


def _failed(number: int) -> list[str]:
    return [f"Not drawn: {count(number, 'cell')} without a result or of unknown size."] if number else []


FIGURE = Figure("memory-over-model-size", _TITLE, draw)
