"""How far a budget of memory goes: the largest batch, and the best throughput, for each method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from lorafa_prof.figures.figure import Figure, NoDataError
from lorafa_prof.figures.kit.line_panel import Metric
from lorafa_prof.figures.kit.lines import LineChart
from lorafa_prof.figures.kit.points import Point, points_of, swept
from lorafa_prof.figures.kit.style import style
from lorafa_prof.words.phrases import count
from lorafa_prof.words.scales import samples_scale, tokens_scale

BUDGETS_GB = (8, 12, 16, 24, 32, 40, 48, 80, 96, 141)
"""In 10^9 bytes."""

_NEEDED = "peak_reserved_bytes"
_CHART = LineChart(
    "What fits a budget of memory",
    "budget",
    "memory budget (GB)",
    (
        Metric("batch", "largest batch", samples_scale),
        Metric("tokens_per_s", "throughput", tokens_scale),
    ),
    steps=True,
    items="points",
)


def _batch(point: Point) -> int:
    batch = point.settings["batch"]
    return batch if isinstance(batch, int) else 0


def _at_budgets(members: Sequence[Point]) -> list[Point]:
    """A point for each budget that one of the cells fits: the best that any of these can do."""
    found = []
    for budget in BUDGETS_GB:
        fitting = [point for point in members if point.values[_NEEDED] <= budget * 1e9]
        if not fitting:
            continue
        largest = max(fitting, key=_batch)
        values = {"batch": float(_batch(largest))}
        # Whether it fits is told by its peak.
        doubts = {"batch": largest.against(_NEEDED)}
        timed = [point for point in fitting if point.value("tokens_per_s") is not None]
        if timed:
            fastest = max(timed, key=lambda point: point.values["tokens_per_s"])
            values["tokens_per_s"] = fastest.values["tokens_per_s"]
            doubts["tokens_per_s"] = fastest.against("tokens_per_s", _NEEDED)
        first = members[0]
        found.append(
            replace(
                first,
                cell_id=f"{first.cell_id}@{budget}",
                status="ok",
                settings={**first.settings, "batch": None, "budget": budget},
                values=values,
                doubts=doubts,
            )
        )
    return found


@style()
def draw(table: DataFrame) -> Drawing:
    """Steps over the budgets, of the cells that are in the table: nothing in between is guessed.

    A cell fits a budget that is no smaller than its peak of reserved memory.

    Raises:
        NoDataError: the batch was not swept, or nothing fits any budget.
    """
    points = points_of(table)
    known = [point for point in points if point.value(_NEEDED) is not None and _batch(point)]
    if not known:
        raise NoDataError(f"no finished cell has {_NEEDED}")
    series = swept(known, "batch")
    if not series:
        raise NoDataError(
            "the batch was not swept: no two finished cells differ in it alone; a scenario with "
            "`batch: [1, 2, 4, 8]` has such"
        )
    drawn = [point for members in series for point in _at_budgets(members)]
    if not drawn:
        raise NoDataError(f"nothing fits {BUDGETS_GB[-1]} GB")
    batches = sorted({_batch(point) for members in series for point in members})
    return _CHART.draw_points(drawn, _notes(batches, len(known) - sum(map(len, series))))


def _notes(batches: Sequence[int], alone: int) -> list[str]:
    tried = ", ".join(map(str, batches)) if len(batches) <= 12 else f"{batches[0]} to {batches[-1]}"
    return [
        f"The best of the batches in the table ({tried}) whose peak of reserved fits; one that was not tried "
        "may fit too. GB: 10^9 bytes; a card of that name leaves PyTorch a few percent more or less.",
        *([f"Not drawn: {count(alone, 'cell')} of settings with one batch only."] if alone else []),
    ]


FIGURE = Figure("batch-per-budget", _CHART.title, draw)
