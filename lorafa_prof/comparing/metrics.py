"""Comparing one metric of one cell on both sides: same, better, worse, or inconclusive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from lorafa_prof.claims.finding import Item, State
from lorafa_prof.comparing.comparable import Differences
from lorafa_prof.comparing.sides import Outcome
from lorafa_prof.comparing.times import SAMPLED, Interval, interval
from lorafa_prof.comparing.tolerance import COMPARED, GivenTolerance, Tolerance, tolerance_of
from lorafa_prof.results.columns import Column
from lorafa_prof.results.marks import disturbance
from lorafa_prof.words.amounts import Number
from lorafa_prof.words.numbers import percent_change, shown, shown_change
from lorafa_prof.words.phrases import listed

Word = Literal[
    "same", "within tolerance", "better", "worse", "gone", "inconclusive", "not comparable", "failed"
]
STATES: dict[Word, State] = {
    "failed": "fail",
    "worse": "fail",
    "gone": "unknown",
    "inconclusive": "unknown",
    "not comparable": "unknown",
    "better": "pass",
    "within tolerance": "pass",
    "same": "pass",
}
"""What is said of a metric or a cell, and what that comes to; what matters most comes first."""

DEFAULT_METRICS: tuple[Column, ...] = tuple(
    COMPARED[name]
    for name in (
        "activation_bytes",
        "saved_bytes",
        "weights_bytes",
        "gradients_bytes",
        "optimizer_bytes",
        "peak_allocated_bytes",
        "peak_reserved_bytes",
        "flops_step",
        "step_ms_median",
        "tokens_per_s",
    )
)


@dataclass(frozen=True)
class Comparison:
    """What the user asked to compare, and how.

    Attributes:
        metrics: metrics of `tolerance.COMPARED`; empty: those of `DEFAULT_METRICS` that have values.
        tolerances: tolerances in the order given.
        across: names of `comparable.ACROSS` in which rows may differ.
        allow_missing: whether NEW may lack cells and metrics that BASE has.
    """

    metrics: tuple[Column, ...] = ()
    tolerances: tuple[GivenTolerance, ...] = ()
    across: frozenset[str] = frozenset()
    allow_missing: bool = False


def compare_metrics(base: Outcome, new: Outcome, differing: Differences, asked: Comparison) -> list[Item]:
    """Return an item for each metric asked for, or for the default ones that have values.

    Both cells are ok.
    """
    return [_compare(metric, base, new, differing, asked) for metric in asked.metrics or _there(base, new)]


def _there(base: Outcome, new: Outcome) -> Sequence[Column]:
    """Return the default metrics that both sides have, and those that NEW lost."""
    return [
        metric
        for metric in DEFAULT_METRICS
        if number_of(base, metric) is not None
        and (number_of(new, metric) is not None or base.kind == new.kind)
    ]


def number_of(outcome: Outcome, metric: Column) -> Number | None:
    """Return the value of `metric`; None if it is unknown."""
    value = outcome.row.get(metric.name)
    return value if isinstance(value, (int, float)) and math.isfinite(value) else None


def _compare(metric: Column, base: Outcome, new: Outcome, differing: Differences, asked: Comparison) -> Item:
    before, after = number_of(base, metric), number_of(new, metric)
    if before is None or after is None:
        lost = before is not None and base.kind == new.kind
        word: Word = "gone" if lost else "not comparable"
        return _item(metric, before, after, word, _why_unknown(metric, base, new))
    if metric.name in SAMPLED and "cpu" in differing and "cpu" not in asked.across:
        why = f"times on another CPU: {differing['cpu']}; --across cpu compares them"
        return _item(metric, before, after, "not comparable", why)
    for name, side in (("BASE", base), ("NEW", new)):
        if why := disturbance(metric.name, side.marks):
            return _item(metric, before, after, "inconclusive", f"{name}: {why}")
    on_cuda = "cuda" in (base.kind, new.kind)
    tolerance = tolerance_of(metric, on_cuda=on_cuda, given=asked.tolerances)
    notes = [_change(before, after, metric.unit)]
    if metric.name in SAMPLED:
        word, about_interval = _by_samples(metric, base, new, before, after, tolerance)
        notes.append(about_interval)
    else:
        word = word_of_change(metric, before, after, tolerance)
    if word in ("within tolerance", "inconclusive"):
        notes.append(f"tolerance {tolerance.text(metric.unit)}")
    return _item(metric, before, after, word, "" if word == "same" else ", ".join(notes))


def _item(metric: Column, before: Number | None, after: Number | None, word: Word, note: str) -> Item:
    measured, expected = ("" if value is None else shown(value, metric.unit) for value in (after, before))
    return Item(metric.name, STATES[word], word, measured, expected, note, after)


def _why_unknown(metric: Column, base: Outcome, new: Outcome) -> str:
    sides = {"BASE": base, "NEW": new}
    without = {side: _reason(metric, at) for side, at in sides.items() if number_of(at, metric) is None}
    return f"no value in {listed(without)}: {'; '.join(dict.fromkeys(without.values()))}"


def _reason(metric: Column, outcome: Outcome) -> str:
    if outcome.kind == "sim" and (metric.group in ("time", "energy") or metric.name == "mfu"):
        return "the twin has no clock"
    # What is not available is noted by the name of a metric, or of several at once.
    keys = [key for key in (metric.name, metric.group) if key in outcome.unavailable]
    return outcome.unavailable[keys[0]] if keys else "it was not measured there"


def word_of_change(metric: Column, before: Number, after: Number, tolerance: Tolerance) -> Word:
    """Return the word for the change of a value that repeats exactly, or that has one sample."""
    change = Fraction(after) - Fraction(before)
    if change == 0:
        return "same"
    if abs(change) <= tolerance.limit(before):
        return "within tolerance"
    return "better" if (change < 0) == (metric.better == "lower") else "worse"


def _by_samples(
    metric: Column, base: Outcome, new: Outcome, before: Number, after: Number, tolerance: Tolerance
) -> tuple[Word, str]:
    """Return the word for the change of a value that follows from samples, and a note.

    The note is the interval, or why there is none.
    """
    if before <= 0 or after <= 0:
        return "inconclusive", "0 has no ratio"
    ratio = interval(SAMPLED[metric.name], base, new, after / before)
    if isinstance(ratio, str):
        return "inconclusive", ratio
    if base.samples == new.samples and before == after:
        return "same", ""  # a record set against itself
    return word_of_interval(metric, ratio, float(tolerance.limit(before) / Fraction(before))), str(ratio)


def word_of_interval(metric: Column, ratio: Interval, limit: float) -> Word:
    """Return the word for an interval: all of it has to lie within the tolerance, or all of it beyond.

    Args:
        metric: the metric, whose better direction counts.
        ratio: the interval of NEW over BASE.
        limit: the largest change that does not count, as a share of BASE.
    """
    if ratio.low > 1 + limit:
        return "worse" if metric.better == "lower" else "better"
    if ratio.high < 1 - limit:
        return "better" if metric.better == "lower" else "worse"
    return "within tolerance" if 1 - limit <= ratio.low and ratio.high <= 1 + limit else "inconclusive"


def _change(before: Number, after: Number, unit: str) -> str:
    change = shown_change(after - before, unit)
    return f"{change}, {percent_change((after - before) / abs(before), 2)}" if before else change
