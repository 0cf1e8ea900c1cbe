"""What memory buys: peak memory of a step against tokens per second, and the cells none is better than."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.marked import rings_note
from lorafa_prof.figures.kit.page import assemble, column_width, new_drawing
from lorafa_prof.figures.kit.panels import MOST_ROWS, panel_row, plot_height
from lorafa_prof.figures.kit.points import (
    SETTINGS,
    Point,
    differing,
    fixed,
    left_out,
    named,
    phrases,
    points_of,
    sort_key,
)
from lorafa_prof.figures.kit.scatter import Axis, Mark, ScatterPanel, method_handles, plain
from lorafa_prof.figures.kit.style import Look, looks, style
from lorafa_prof.figures.kit.wishes import said
from lorafa_prof.words.phrases import count, first_of
from lorafa_prof.words.scales import bytes_scale

_TITLE = "Memory against throughput"
_MEMORY, _RATE = "peak_allocated_bytes", "tokens_per_s"

# What is no choice but the task itself: its cells are not weighed against those of another.
_TASK = ("seq", "lengths", "padding", "phase", "kept_logits", "where")
_MOST_NAMED = 8


def front(points: Sequence[Point]) -> list[Point]:
    """The cells that no other one beats in one of memory and throughput without losing in the other.

    From the least memory on; of cells that are equal in both, one.
    """
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.values[_MEMORY], -point.values[_RATE])):
        if not best or point.values[_RATE] > best[-1].values[_RATE]:
            best.append(point)
    return best


@style()
def draw(table: DataFrame) -> Drawing:
    """A panel for each model, sequence length and GPU: a point for each cell, and their Pareto front.

    Raises:
        NoDataError: no finished cell has both its memory and its throughput.
    """
    everything = points_of(table)
    points = [point for point in everything if point.value(_MEMORY) and point.value(_RATE)]
    if not points:
        raise NoDataError(f"no finished cell has both {_MEMORY} and {_RATE}; a predicted step is not timed")
    look = looks(point.method for point in points)
    task = differing(points, _TASK)
    choices = [name for name in differing(points, SETTINGS) if name not in task]
    rows = _rows(points, task)
    shown = dict(list(rows.items())[:MOST_ROWS])
    height = plot_height(len(shown))
    drawing = new_drawing()
    room = column_width(len(shown))
    placed, fronts = [], []
    for name, members in shown.items():
        best = front(members)
        placed.append(panel_row(drawing, name, [_panel(members, best, choices, look, height)], room))
        fronts.append(best)
    assemble(
        drawing,
        title=_TITLE,
        shared=fixed(points),
        rows=placed,
        handles=method_handles(look),
        notes=[
            _on_front(fronts, choices),
            *rings_note(point.against(_MEMORY, _RATE) for members in shown.values() for point in members),
            *_without(len(everything) - len(points)),
            *left_out(len(points) - sum(map(len, shown.values())), len(points)),
        ],
    )
    return drawing


def _panel(
    members: Sequence[Point],
    best: Sequence[Point],
    choices: Sequence[str],
    look: Mapping[str, Look],
    height: float,
) -> ScatterPanel:
    """Cells, those on the front with their names."""
    names = {point.cell_id: named(point, choices) for point in best}

    scale = bytes_scale(max(point.values[_MEMORY] for point in members))

    def place(point: Point) -> tuple[float, float]:
        return point.values[_MEMORY] / scale.divisor, point.values[_RATE]

    return ScatterPanel(
        _RATE,
        [
            Mark(
                point.method,
                *place(point),
                point.against(_MEMORY, _RATE),
                name=names.get(point.cell_id, ""),
            )
            for point in members
        ],
        Axis(f"{said('peak allocated')} ({scale.unit})", plain),
        Axis(f"{said('throughput')} (tokens/s)", plain),
        look,
        height,
        front=[place(point) for point in best],
    )


def _rows(points: Sequence[Point], task: Sequence[str]) -> dict[str, list[Point]]:
    """The cells of each model and task, by its name, in the order of models and then of tasks."""
    models = list(dict.fromkeys(point.model for point in points))
    ordered = sorted(
        points,
        key=lambda point: (models.index(point.model), *(sort_key(point.settings[name]) for name in task)),
    )
    rows: dict[str, list[Point]] = {}
    for point in ordered:
        rows.setdefault(", ".join(filter(None, (said(point.model), phrases(point, task)))), []).append(point)
    return rows


def _on_front(fronts: Sequence[Sequence[Point]], choices: Sequence[str]) -> str:
    """What the grey line is; of a single panel also what is on it: not every name may have room there."""
    what = "On the front no cell needs less and is as fast"
    if len(fronts) > 1:
        return f"{what}."
    names = first_of([named(point, choices) for point in fronts[0]], _MOST_NAMED, between="; ")
    return f"{what}; from the least memory on: {names}."


def _without(number: int) -> list[str]:
    return [f"Not drawn: {count(number, 'cell')} without memory or throughput."] if number else []


FIGURE = Figure("memory-against-throughput", _TITLE, draw)
