"""What an explanation comes to, in a sentence or two."""

from __future__ import annotations

from lorafa_prof.explaining.against import tensor_differences
from lorafa_prof.explaining.composition import Composition
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.names import short_module
from lorafa_prof.parts import PART_KEYS, PARTS
from lorafa_prof.words.numbers import percent, size
from lorafa_prof.words.phrases import alternatives

_MOST_WAYS = 3


def conclusion(explanation: Explanation) -> str:
    """Of a cell: its peak, what most of it is, and the change that saves most or those that make it fit.

    Empty where the peak is not known.
    """
    peak = explanation.peak
    if peak is None:
        return ""
    most = _most_of(peak)
    if _ran_out(explanation):
        told = f"Memory runs out: with enough of it the peak would be {size(peak.total_bytes)}{most}."
        return f"{told}{_ways_to_fit(explanation)}"
    return f"The peak is {size(peak.total_bytes)}{most}.{_saves_most(explanation)}"


def conclusion_between(one: Explanation, other: Explanation) -> str:
    """Of two cells: how much less or more A, the one, needs and keeps than B, the other.

    Empty where neither is known of both.
    """
    told = []
    if one.peak is not None and other.peak is not None:
        a, b = one.peak.total_bytes, other.peak.total_bytes
        than = f"{size(abs(a - b))} {'lower' if a < b else 'higher'} than B's{_share(a - b, b)}"
        told.append(f"A's peak is {than if a != b else 'as high as that of B'}")
    if one.activation is not None and other.activation is not None:
        told.append(f"{'it' if told else 'A'} keeps {_kept(one.activation, other.activation)}")
    return f"{', and '.join(told)}." if told else ""


def _kept(one: Composition, other: Composition) -> str:
    a, b = one.total_bytes, other.total_bytes
    if a == b:
        return "as much for backward"
    word, sign = ("less", -1) if a < b else ("more", 1)
    kept = f"{size(abs(a - b))} {word} for backward{_share(a - b, b)}"
    found = max(tensor_differences(one, other), key=lambda each: sign * each.delta_bytes, default=None)
    if found is None or sign * found.delta_bytes <= 0:
        return kept
    place = short_module(found.piece.key.module) or "the model itself"
    return f"{kept}, the largest part of it in {place}, {size(abs(found.delta_bytes))}"


def _share(delta: int, of_bytes: int) -> str:
    return f" ({percent(abs(delta) / of_bytes)})" if of_bytes else ""


def _ran_out(explanation: Explanation) -> bool:
    return explanation.predicted is not None and explanation.predicted.ran_out is not None


def _most_of(peak: Composition) -> str:
    """The largest part of it."""
    parts = {part: sum(piece.nbytes for piece in peak.of(part)) for part in PART_KEYS}
    largest = max(parts, key=lambda part: parts[part])
    if not parts[largest]:
        return ""
    return f", {percent(parts[largest] / peak.total_bytes)} of it {PARTS[largest].name}"


def _saves_most(explanation: Explanation) -> str:
    if explanation.predicted is None:
        return ""
    peak = explanation.predicted.peak.total_bytes
    saved = {
        trial.remedy.change: peak - trial.memory.peak_allocated_bytes
        for trial in explanation.trials
        if trial.memory is not None
    }
    change = max(saved, key=lambda each: saved[each], default=None)
    if change is None or saved[change] <= 0:
        return ""
    return f" Of the changes tried, {change} saves most of it: {size(saved[change])}."


def _ways_to_fit(explanation: Explanation) -> str:
    if not explanation.trials:
        return ""
    known = [(trial, trial.memory) for trial in explanation.trials if trial.memory is not None and trial.fits]
    if not known:
        return " None of the changes tried makes it fit by itself."
    known.sort(key=lambda each: each[1].peak_allocated_bytes)
    return f" It fits {alternatives([f'with {trial.remedy.change}' for trial, _ in known[:_MOST_WAYS]])}."
