"""The table of a run's learning: each cell at its chosen rate, with its quality, memory and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lorafa_prof.figures.kit.points import distinct_names, in_order, point_of
from lorafa_prof.quality.comparison import Comparison, comparisons
from lorafa_prof.quality.group import Group, groups_of
from lorafa_prof.quality.interval import Interval
from lorafa_prof.quality.measures import EVAL_LOSS, QUALITY, TRAIN_SECONDS, mean_of
from lorafa_prof.quality.read import read_learning
from lorafa_prof.results.records import Results
from lorafa_prof.words.numbers import percent_change, size, three_digits
from lorafa_prof.words.phrases import and_more
from lorafa_prof.words.scales import seconds_scale

HEADER = ("task", "cell", "learning rate", "seeds", "quality (points)", "loss (nats)", "peak", "training")
_ABOUT = (
    "Each cell at the learning rate that is best on the validation split; means over seeds at the runs' end, "
    "on the test split where there is one, and where they lie with 95 % confidence"
)
COMPARED_HEADER = ("task", "cell", "against", "at", "seeds", "quality (points)", "peak", "training")
_COMPARED_ABOUT = (
    "Methods against each other: the mean difference of runs of the same seed, and where it lies with 95 % "
    "confidence; one seed says nothing of that"
)
_MOST_NOTES = 20


@dataclass(frozen=True)
class LearnedTable:
    """Of each cell a row of text, in the order of `HEADER`; what is not known is empty.

    `compared` has rows in the order of `COMPARED_HEADER`.
    """

    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    compared: tuple[tuple[str, ...], ...]
    about: str = _ABOUT
    compared_about: str = _COMPARED_ABOUT


def learned_table(results: Results) -> LearnedTable | None:
    """Return what the learning runs come to; None where there are none.

    Raises:
        UsageError: their table cannot be read.
        NothingToJudgeError: it has no rows.
    """
    if results.out is None or not results.has_learning:
        return None
    groups = groups_of(read_learning(results.out))
    settings = {group.cell_id: group.settings for group in groups}
    points = in_order([point_of({**each, "status": "ok"}) for each in settings.values()])
    names, order = distinct_names(points), [point.cell_id for point in points]
    groups = sorted(groups, key=lambda group: (group.task, order.index(group.cell_id)))
    notes = [f"{names[group.cell_id]}: {note}" for group in groups for note in group.notes]
    more = [and_more(len(notes) - _MOST_NOTES)] if len(notes) > _MOST_NOTES else []
    return LearnedTable(
        tuple(_row(group, names[group.cell_id]) for group in groups),
        (*notes[:_MOST_NOTES], *more),
        tuple(_compared_row(each, names) for each in comparisons(groups)),
    )


def _row(group: Group, name: str) -> tuple[str, ...]:
    rates = len(group.rates)
    rate = f"{group.chosen.learning_rate:g} of {rates}" if group.chosen else f"none of {rates}"
    peak = group.peak_allocated_bytes
    seconds = mean_of(group, TRAIN_SECONDS)
    return (
        group.task,
        name,
        rate,
        str(len(group.runs)),
        _with_interval(mean_of(group, QUALITY), lambda value: f"{value:.2f}"),
        _with_interval(mean_of(group, EVAL_LOSS), lambda value: f"{value:.3f}"),
        "" if peak is None else size(peak),
        "" if seconds is None else _time(seconds.mean),
    )


def _compared_row(found: Comparison, names: Mapping[str, str]) -> tuple[str, ...]:
    return (
        found.group.task,
        names[found.group.cell_id],
        names[found.other.cell_id],
        found.at,
        str(found.quality.count),
        _with_interval(found.quality, lambda value: f"{value:+.2f}"),
        "" if found.peak is None else percent_change(found.peak - 1),
        "" if found.seconds is None else percent_change(found.seconds - 1),
    )


def _with_interval(interval: Interval | None, text: Callable[[float], str]) -> str:
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return text(interval.mean)
    return f"{text(interval.mean)} ({text(interval.low)} to {text(interval.high)})"


def _time(seconds: float) -> str:
    scale = seconds_scale(seconds)
    return f"{three_digits(seconds / scale.divisor)} {scale.unit}"
