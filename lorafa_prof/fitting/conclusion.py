"""What the answers come to, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.fitting.answer import Answer
from lorafa_prof.fitting.groups import Group, groups_of
from lorafa_prof.fitting.settings import settings_of
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import first_of, listed

_MOST_NAMED = 3
_NOTHING_HELPS = (
    "Nothing that was tried makes it fit: a smaller batch, shorter sequences, full checkpointing, "
    "chunked loss, and nf4 of a frozen base, all together."
)


def conclusion(answers: Sequence[Answer]) -> list[str]:
    """A line for each model and GPU: whether it fits, what lacks how much, and with what it would fit."""
    groups = groups_of(answers)
    return [f"{_of(group) if len(groups) > 1 else ''}{_told(group)}" for group in groups]


def _of(group: Group) -> str:
    return f"{group.model} on {group.gpu}: "


def _told(group: Group) -> str:
    if len(group.answers) == 1:
        (answer,) = group.answers
        return _fits(answer) if answer.fit.fits else f"Does not fit: {_lack(answer)}.{_ways(answer, 'Fits')}"
    names = _names(group)
    short = first_of([f"{names[id(each)]} is {_lack(each)}" for each in group.too_large], _MOST_NAMED, "; ")
    if not group.fitting:
        nearest = group.nearest
        return f"None fits: {short}.{_ways(nearest, f'{names[id(nearest)]} fits')}"
    best, *others = group.fitting
    left = size(best.fit.left_bytes)
    if not group.too_large:
        return f"All {len(group.answers)} fit; {names[id(best)]} leaves the most, {left}."
    if not others:
        return f"{names[id(best)]} fits, with {left} left; {short}."
    fitting = first_of([names[id(each)] for each in group.fitting], _MOST_NAMED)
    return f"Of {len(group.answers)} these fit: {fitting}; the first leaves the most, {left}; {short}."


def _fits(answer: Answer) -> str:
    more = [
        *([f"batch {answer.batch.value}"] if answer.batch.value is not None else []),
        *([f"sequences of {answer.seq.value} tokens"] if answer.seq.value is not None else []),
    ]
    largest = f": up to {' or '.join(more)}" if more else ""
    return f"Fits, with {size(answer.fit.left_bytes)} left{largest}."


def _lack(answer: Answer) -> str:
    """How much is missing; memory may also run out though there is enough of it, in pieces too small."""
    left = answer.fit.left_bytes
    if left < 0:
        return f"{size(-left)} short"
    return f"out of memory in {answer.fit.failed_phase}, with enough of it in pieces too small"


def _ways(answer: Answer, fits: str) -> str:
    if answer.ways is None:
        return ""
    if not answer.ways:
        return f" {_NOTHING_HELPS}"
    told = [f"with {listed(change.words for change in way)}" for way in answer.ways[:_MOST_NAMED]]
    *first, last = told
    return f" {fits} {', '.join(first)}, or {last}." if first else f" {fits} {last}."


def _names(group: Group) -> dict[int, str]:
    """What tells each answer from the others, by its `id`: "lora rank 16"."""
    settings = settings_of([answer.fit.asked.cell for answer in group.answers])
    return {
        id(answer): " ".join(
            value if key == "method" else f"{key} {value}"
            for key, value in zip(settings.varying, values, strict=True)
            if value != "-"
        )
        for answer, values in zip(group.answers, settings.of_each, strict=True)
    }
