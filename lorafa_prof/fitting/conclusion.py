"""What the answers come to, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.fitting.answer import Answer
from lorafa_prof.fitting.groups import Group, groups_of
from lorafa_prof.fitting.settings import settings_of
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import alternatives, listed

_MOST_WAYS = 3
_NOTHING_HELPS = (
    "Nothing that was tried makes it fit: a smaller batch, shorter sequences, full checkpointing, "
    "chunked loss, and nf4 of a frozen base, all together."
)


def conclusion(answers: Sequence[Answer]) -> list[str]:
    """A line for each model and GPU: whether it fits, what lacks how much, and with what it would fit."""
    groups = groups_of(answers)
    if len(groups) == 1:
        return [_told(groups[0])]
    return [f"{group.model} on {group.gpu}: {_lower(_told(group))}" for group in groups]


def _lower(sentences: str) -> str:
    return f"{sentences[0].lower()}{sentences[1:]}"


def _told(group: Group) -> str:
    if len(group.answers) == 1:
        (answer,) = group.answers
        return _fits(answer) if answer.fit.fits else f"Does not fit: {_lack(answer)}.{_ways(answer, 'Fits')}"
    names, number = _names(group), len(group.answers)
    if not group.fitting:
        nearest = group.nearest
        short = f"{names[id(nearest)]} is the nearest, {_lack(nearest)}"
        return f"None of {number} fits: {short}.{_ways(nearest, 'It fits')}"
    best = group.fitting[0]
    most = f"{names[id(best)]} leaves the most, {size(best.fit.left_bytes)}"
    if not group.too_large:
        return f"All {number} fit: {most}."
    nearest = group.nearest
    among = "" if len(group.too_large) == 1 else "of the others the nearest, "
    short = f"{among}{names[id(nearest)]}{',' if among else ''} is {_lack(nearest)}"
    if len(group.fitting) == 1:
        return f"Of {number} only {names[id(best)]} fits, with {size(best.fit.left_bytes)} left; {short}."
    return f"{len(group.fitting)} of {number} fit: {most}; {short}."


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
    told = alternatives(f"with {listed(change.words for change in way)}" for way in answer.ways[:_MOST_WAYS])
    return f" {fits} {told}."


def _names(group: Group) -> dict[int, str]:
    """What tells each answer from the others, by its `id`: "lora (rank 16)"."""
    settings = settings_of([answer.fit.asked.cell for answer in group.answers])
    return {
        id(answer): _name(dict(zip(settings.varying, values, strict=True)))
        for answer, values in zip(group.answers, settings.of_each, strict=True)
    }


def _name(varying: dict[str, str]) -> str:
    method = varying.pop("method", "")
    rest = ", ".join(f"{key} {value}" for key, value in varying.items() if value != "-")
    return f"{method} ({rest})" if method and rest else method or rest
