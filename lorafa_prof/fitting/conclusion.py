"""What the answers come to, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import Answer
from lorafa_prof.fitting.groups import Group, groups_of
from lorafa_prof.fitting.settings import settings_of
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import first_of, listed

#: Of what does not fit so many are named.
_MOST_NAMED = 3


def conclusion(answers: Sequence[Answer]) -> list[str]:
    """A line for each model and GPU: whether it fits, what lacks how much, and with what it would fit."""
    groups = groups_of(answers)
    return [f"{_of(group) if len(groups) > 1 else ''}{_told(group)}" for group in groups]


def _of(group: Group) -> str:
    return f"{group.model} on {group.gpu}: "


def _told(group: Group) -> str:
    cells = [answer.fit.asked.cell for answer in group.answers]
    names = dict(zip((id(answer) for answer in group.answers), _names(cells), strict=True))

    def name(answer: Answer) -> str:
        return names[id(answer)]

    if len(group.answers) == 1:
        (answer,) = group.answers
        return _fits(answer) if answer.fit.fits else f"Does not fit: {_short(answer)}.{_ways(answer, 'Fits')}"
    if not group.too_large:
        best = group.fitting[0]
        return f"All {len(group.answers)} fit: {name(best)} leaves the most, {size(best.fit.left_bytes)}."
    if not group.fitting:
        nearest = group.nearest
        short = first_of([f"{name(each)}: {_short(each)}" for each in group.too_large], _MOST_NAMED, "; ")
        fits = f"{name(nearest)} fits" if len(group.too_large) > 1 else "Fits"
        return f"None fits. {short}.{_ways(nearest, fits)}"
    best = group.fitting[0]
    fit = first_of([name(each) for each in group.fitting], _MOST_NAMED)
    left = (
        f"with {size(best.fit.left_bytes)} left"
        if len(group.fitting) == 1
        else (f"{name(best)} leaves the most, {size(best.fit.left_bytes)}")
    )
    short = first_of([f"{name(each)}, {_short(each)}" for each in group.too_large], _MOST_NAMED, "; ")
    return f"Fits: {fit} ({left}). Does not: {short}."


def _fits(answer: Answer) -> str:
    batch, seq = answer.batch, answer.seq
    more = [
        *([f"batch {batch.value}"] if batch.value is not None else []),
        *([f"sequences of {seq.value} tokens"] if seq.value is not None else []),
    ]
    return f"Fits, with {size(answer.fit.left_bytes)} left: up to {' or '.join(more)}."


def _short(answer: Answer) -> str:
    """How much is missing; memory may also run out though there is enough of it, in too small pieces."""
    left = answer.fit.left_bytes
    if left >= 0:
        return f"memory runs out in {answer.fit.failed_phase}, in too small pieces"
    return f"{size(-left)} short"


def _ways(answer: Answer, fits: str) -> str:
    if answer.ways is None:
        return ""
    if not answer.ways:
        return (
            " Nothing that was tried makes it fit: smaller batches, shorter sequences, full checkpointing, "
            "chunked loss, nf4 of a frozen base."
        )
    *first, last = [f"with {listed(change.words for change in way)}" for way in answer.ways]
    return f" {fits} {', '.join(first)}, or {last}." if first else f" {fits} {last}."


def _names(cells: Sequence[Cell]) -> list[str]:
    """What tells each cell from the others: "lora rank 16"."""
    settings = settings_of(cells)
    return [
        " ".join(
            value if key == "method" else f"{key} {value}"
            for key, value in zip(settings.varying, values, strict=True)
            if value != "-"
        )
        for values in settings.of_each
    ]
