"""A method against another, by the largest of the pairs of cells that are alike in all else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorafa_prof.concluding.alike import pairs
from lorafa_prof.concluding.conclusion import HELD, PEAK, STEP, Conclusion, undisturbed
from lorafa_prof.concluding.naming import Naming, method_name, sentence
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.words.numbers import percent, shown

#: A method, and the one that people want it compared with.
COMPARED = (
    ("lora-fa", "lora"),
    ("peft-lora-fa", "peft-lora"),
    ("lora-fa", "full-ft"),
    ("lora", "full-ft"),
)

#: Of a value less is no difference that matters; times are never twice the same.
_LEAST, _LEAST_OF_TIMES = 0.0005, 0.02

Pair = tuple[Point, Point]


def between_methods(points: Sequence[Point]) -> list[Conclusion]:
    """What each method saves or costs against its reference, and where it fits and the other does not.

    Full fine-tuning is compared with one method only.
    """
    naming = Naming.of(points)
    found: list[Conclusion] = []
    with_full = False
    for method, reference in COMPARED:
        if reference == "full-ft" and with_full:
            continue
        alike = pairs(points, method, reference)
        told = [*_difference(alike, naming), *_fits_where_not(alike, naming)]
        with_full = with_full or (reference == "full-ft" and bool(told))
        found += told
    return found


def _difference(alike: Sequence[Pair], naming: Naming) -> list[Conclusion]:
    """Of the largest pair whose peaks are known: what its cells hold, their peaks, and their times."""
    known = [(pair, peak) for pair in alike if (peak := _reference_peak(pair)) is not None]
    if not known:
        return []
    (one, other), _ = max(known, key=lambda each: each[1])
    held = _held(one, other)
    told = [held, _peaks(one, other, are_named=bool(held)), _times(one, other)]
    among = f", the largest of {len(known):,} pairs of cells alike in all else" if len(known) > 1 else ""
    told.append(f"this is at {naming.pair(one, other)}{among}")
    text = " ".join(sentence(each) for each in told if each)
    return [Conclusion("methods", text, (one.cell_id, other.cell_id))]


def _held(one: Point, other: Point) -> str:
    held = _difference_of(one, other, HELD)
    if held is None:
        return ""
    words = "as much as" if held.same else f"{held.amount} {'less' if held.less else 'more'} than"
    return f"{method_name(one.method)} holds {words} {method_name(other.method)} for backward ({held.values})"


def _peaks(one: Point, other: Point, *, are_named: bool) -> str:
    peak = _difference_of(one, other, PEAK)
    assert peak is not None
    words = "the same" if peak.same else f"{peak.amount} {'lower' if peak.less else 'higher'}"
    if are_named:
        return f"its peak is {words} ({peak.values})"
    against = f"against {method_name(other.method)}, the peak of {method_name(one.method)}"
    return f"{against} is {words} ({peak.values})"


def _times(one: Point, other: Point) -> str:
    step = _difference_of(one, other, STEP)
    if step is None:
        return ""
    words = "about as long" if step.same else f"{step.amount} {'less' if step.less else 'more'}"
    return f"a step takes {words} ({step.values})"


@dataclass(frozen=True)
class _Difference:
    amount: str
    values: str
    less: bool
    same: bool


def _difference_of(one: Point, other: Point, column: str) -> _Difference | None:
    """How a metric of two cells differs; None where one does not have it."""
    ours, theirs = undisturbed(one, column), undisturbed(other, column)
    if ours is None or not theirs:
        return None
    unit = "ms" if column == STEP else "bytes"
    share = abs(ours - theirs) / theirs
    same = share < (_LEAST_OF_TIMES if column == STEP else _LEAST)
    values = f"{shown(ours, unit)} {'and' if same else 'instead of'} {shown(theirs, unit)}"
    return _Difference(
        shown(abs(ours - theirs), unit),
        values if same else f"{percent(share)}: {values}",
        ours < theirs,
        same,
    )


def _fits_where_not(alike: Sequence[Pair], naming: Naming) -> list[Conclusion]:
    rescued = [(one, other) for one, other in alike if one.ok and other.status == "oom"]
    if not rescued:
        return []
    one, other = max(rescued, key=lambda pair: pair[0].value(PEAK) or 0.0)
    among = f", the largest of {len(rescued):,} such pairs of cells" if len(rescued) > 1 else ""
    fits = f"{method_name(one.method)} fits where {method_name(other.method)} runs out of memory"
    text = sentence(f"{fits}: at {naming.pair(one, other)}{among}")
    return [Conclusion("methods", text, (one.cell_id, other.cell_id))]


def _reference_peak(pair: Pair) -> float | None:
    """The reference's peak, if both are known."""
    ours, theirs = (undisturbed(point, PEAK) for point in pair)
    return None if ours is None else theirs
