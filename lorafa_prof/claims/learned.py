"""Judging checks on learning runs: by the interval over seeds, and never by a single seed unless asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.finding import Item, State
from lorafa_prof.claims.metric import UnknownValueError
from lorafa_prof.errors import NothingToJudgeError
from lorafa_prof.quality.group import Group, groups_of
from lorafa_prof.quality.interval import CONFIDENCE, Interval, interval_of
from lorafa_prof.quality.measures import QUALITY, TRAIN_SECONDS, pairs_by_seed, values_by_seed
from lorafa_prof.quality.read import read_learning
from lorafa_prof.quality.weighing import WITHIN, nearest_in_memory
from lorafa_prof.words.numbers import percent, shown, size
from lorafa_prof.words.phrases import count

INCONCLUSIVE = "inconclusive"

#: Without at least two seeds nothing is known of their spread.
_LEAST_SEEDS = 2
_WORDS: dict[State, str] = {"pass": "holds", "fail": "fails", "unknown": INCONCLUSIVE}
#: Further digits are noise of floats: 0.48 - 0.47 is a point, and no billionth more.
_DIGITS = 9


class NobodyEqualError(UnknownValueError):
    """No cell that this one may be compared with has as much memory."""


@dataclass(frozen=True)
class Learned:
    """The learning runs of a folder.

    Attributes:
        groups: by the id of the cell that was trained.
        place: the folder.
    """

    place: Path
    groups: Mapping[str, Sequence[Group]] = field(default_factory=dict)

    def group(self, cell_id: str) -> Group:
        """The runs of a cell.

        Raises:
            UnknownValueError: there are none, or of several tasks or schedules, or none that got to its end.
        """
        found = self.groups.get(cell_id, ())
        if not found:
            raise UnknownValueError(
                f"not learned in {self.place}: `lorafa-prof learn` trains it, and `check` judges its folder"
            )
        if len(found) > 1:
            raise UnknownValueError("it was trained on several tasks or by several schedules")
        if not found[0].runs:
            raise UnknownValueError("; ".join(found[0].notes))
        return found[0]


def learned_in(out: Path) -> Learned:
    """The learning runs in the folder `out`; none where it has no learning.csv.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        groups = groups_of(read_learning(out))
    except NothingToJudgeError:
        return Learned(out)
    by_cell: dict[str, list[Group]] = {}
    for group in groups:
        by_cell.setdefault(group.cell_id, []).append(group)
    return Learned(out, by_cell)


@dataclass(frozen=True)
class JudgedLearned:
    """What came of a check on learning runs.

    Attributes:
        excess: by how much of its bound the mean fails: above 0 too much, below 0 too little.
        notes: what is doubtful of it: of the choice of learning rates, and who could not be compared with.
    """

    item: Item
    excess: float
    notes: tuple[str, ...]


def judge_learned(check: Check, learned: Learned, labels: Mapping[str, str]) -> JudgedLearned:
    """Judge a check: it holds if the whole interval does, and fails if no part of the interval does.

    Raises:
        UnknownValueError: there is nothing to judge.
    """
    group = _group(check.cell.cell_id, check, learned, labels)
    other, not_learned = _other(check, group, learned, labels)
    groups = [group] if other is None else [group, other]
    numbers = _numbers(check, group, other)
    interval = _rounded(interval_of(numbers, check.claim.confidence or CONFIDENCE))
    state, why = _verdict(check, interval)
    excess = float(check.expected.excess(interval.mean)) if state == "fail" else 0.0
    item = Item(
        what=" against ".join(labels[each.cell_id] for each in groups),
        state=state,
        word=_WORDS[state],
        measured=_measured(check, interval),
        expected=str(check.expected),
        note="; ".join(filter(None, [why, *_remarks(check, groups)])),
        value=interval.mean,
    )
    bound = abs(interval.mean - excess)
    notes = [f"{labels[each.cell_id]}: {note}" for each in groups for note in each.notes]
    return JudgedLearned(item, excess / bound if bound else excess, (*not_learned, *notes))


def _group(cell_id: str, check: Check, learned: Learned, labels: Mapping[str, str]) -> Group:
    try:
        return learned.group(cell_id)
    except UnknownValueError as error:
        if len(check.cells) == 1:
            raise
        raise UnknownValueError(f"{labels[cell_id]}: {error}") from error


def _other(
    check: Check, group: Group, learned: Learned, labels: Mapping[str, str]
) -> tuple[Group | None, list[str]]:
    """What it is compared with: the cell named, or of the candidates that with as much memory.

    With notes on candidates without runs; what they would have needed, nobody knows.
    """
    if not check.candidates:
        return (None if check.other is None else _group(check.other.cell_id, check, learned, labels)), []
    candidates, notes = [], []
    for cell in check.candidates:
        try:
            candidates.append(_group(cell.cell_id, check, learned, labels))
        except UnknownValueError as error:
            notes.append(f"not compared with at equal memory: {error}")
    if not candidates:
        raise UnknownValueError(f"nobody to compare it with: {notes[0]}")
    nearest = nearest_in_memory(group, candidates)
    if nearest is None:
        raise UnknownValueError("its peak of memory is not known, nor that of whom it may be compared with")
    other, apart = nearest
    within = check.claim.within or WITHIN
    if apart > within:
        raise NobodyEqualError(
            f"nobody has equal memory: {labels[other.cell_id]} is nearest, and {percent(apart)} away"
        )
    return other, notes


def _numbers(check: Check, group: Group, other: Group | None) -> list[float]:
    """What the check is of, for each seed."""
    name = check.metric.name
    if other is None:
        values = list(values_by_seed(group, check.metric).values())
        if not values:
            raise UnknownValueError(f"its runs have no {name}")
        return values
    if group.task != other.task or group.metric_name != other.metric_name:
        raise UnknownValueError("they were trained on different tasks")
    pairs = pairs_by_seed(group, other, check.metric)
    if not pairs:
        raise UnknownValueError(f"they have no {name} of the same seed")
    if check.kind == "difference":
        return [one - base for one, base in pairs]
    if any(base == 0 for _, base in pairs):
        raise UnknownValueError("what it is compared with is 0")
    return [one / base for one, base in pairs]


def _rounded(interval: Interval) -> Interval:
    low, high = (None if end is None else round(end, _DIGITS) for end in (interval.low, interval.high))
    return Interval(round(interval.mean, _DIGITS), low, high, interval.count)


def _verdict(check: Check, interval: Interval) -> tuple[State, str]:
    """What an interval comes to, and why or by how much."""
    least, most = check.expected.limits
    asked = check.claim.seeds or _LEAST_SEEDS
    if interval.count < asked:
        alone = "a single one has no interval; `seeds: 1` in the claim judges it all the same"
        why = alone if interval.count == 1 else f"the claim asks for {asked}"
        return "unknown", f"{count(interval.count, 'seed')}: {why}"
    low, high = interval.low, interval.high
    if low is None or high is None:
        low = high = interval.mean
    if least <= low and high <= most:
        return "pass", ""
    if high < least or low > most:
        return "fail", _excess_text(check, interval)
    return "unknown", "a part of the interval holds and a part does not: more seeds would tell"


def _excess_text(check: Check, interval: Interval) -> str:
    excess = check.expected.excess(interval.mean)
    return f"{shown(abs(excess), _unit(check))} {'too much' if excess > 0 else 'too little'}"


def _unit(check: Check) -> str:
    return "" if check.kind == "ratio" else check.metric.unit


def _measured(check: Check, interval: Interval) -> str:
    text = shown(interval.mean, _unit(check))
    if interval.low is not None and interval.high is not None:
        text += f" ({shown(interval.low, '')} to {shown(interval.high, '')})"
    return f"{text}, {count(interval.count, 'seed')}"


def _remarks(check: Check, groups: Sequence[Group]) -> list[str]:
    """What must be said beside the number: which rates, whose memory, on which split."""
    rates = " and ".join(f"{each.chosen.learning_rate:g}" for each in groups if each.chosen)
    remarks = [f"at learning {'rate' if len(groups) == 1 else 'rates'} {rates}"]
    if check.candidates:
        peaks = [size(each.peak_allocated_bytes or 0) for each in groups]
        remarks.append(f"peaks {' and '.join(peaks)}")
    if check.metric is not TRAIN_SECONDS and any(each.split == "validation" for each in groups):
        what = groups[0].metric_name if check.metric is QUALITY else "loss"
        remarks.append(f"{what or 'metric'} of the validation split, which also chose the learning rate")
    return remarks
