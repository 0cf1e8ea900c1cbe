"""What figures of learning runs share: cells with their runs at the chosen rate, in the order of figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.panels import MOST_ROWS
from lorafa_prof.figures.kit.points import Point, in_order, point_of
from lorafa_prof.quality.group import Group, groups_of
from lorafa_prof.quality.interval import Interval
from lorafa_prof.quality.measures import QUALITY, mean_of
from lorafa_prof.quality.read import read_learning
from lorafa_prof.results.records import Results
from lorafa_prof.words.phrases import count

RATES_NOTE = "Each at the learning rate that is best on the validation split."
INTERVAL_NOTE = "Bars: where the mean over seeds lies with 95 % confidence."


@dataclass(frozen=True)
class LearnedCell:
    """A cell with its runs; `quality` is in points of 100, of which it has some."""

    point: Point
    group: Group
    quality: Interval

    @property
    def span(self) -> tuple[float, float] | None:
        """The interval of its quality; None of a single seed."""
        low, high = self.quality.low, self.quality.high
        return None if low is None or high is None else (low, high)


def groups_in(results: Results) -> list[tuple[Point, Group]]:
    """The cells whose learning rate is chosen.

    Raises:
        NoDataError: there are none.
        UsageError: learning.csv cannot be read.
    """
    if results.out is None:
        raise NoDataError("a table alone has no learning runs")
    groups = [group for group in groups_of(read_learning(results.out)) if group.runs]
    if not groups:
        raise NoDataError("no learning run got to its end")
    by_id: dict[str, list[Group]] = {}
    for group in groups:
        by_id.setdefault(group.cell_id, []).append(group)
    settings = [{**found[0].settings, "status": "ok"} for found in by_id.values()]
    ordered = in_order([point_of(each) for each in settings])
    return [(point, group) for point in ordered for group in by_id[point.cell_id]]


def learned_cells(results: Results) -> list[LearnedCell]:
    """The cells that have a quality; raises as `groups_in`, also where none has one."""
    found = [(point, group, mean_of(group, QUALITY)) for point, group in groups_in(results)]
    cells = [LearnedCell(point, group, quality) for point, group, quality in found if quality is not None]
    if not cells:
        raise NoDataError("no learning run has a metric")
    return cells


def rows_of(cells: Sequence[tuple[Point, Group]]) -> dict[str, list[int]]:
    """Places in `cells` of each model and task, by its name; of so many as there is room for."""
    rows: dict[str, list[int]] = {}
    for index, (point, group) in enumerate(cells):
        rows.setdefault(f"{point.model}, {group.task}", []).append(index)
    return dict(list(rows.items())[:MOST_ROWS])


def quality_label(groups: Iterable[Group]) -> str:
    """What quality is, of groups of one task: "accuracy on test (points)"."""
    found = list(groups)
    metric = next((group.metric_name for group in found if group.metric_name), "metric")
    splits = sorted({group.split for group in found})
    return f"{metric.replace('_', ' ')} on {' or '.join(splits)} (points)"


def seeds_note(cells: Sequence[LearnedCell]) -> str:
    """How many seeds there are, and what bars are."""
    counts = sorted({cell.quality.count for cell in cells})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else count(counts[0], "seed")
    bars = INTERVAL_NOTE if counts[-1] > 1 else "One seed has no interval."
    return f"{RATES_NOTE} {seeds[0].upper()}{seeds[1:]}. {bars}"
