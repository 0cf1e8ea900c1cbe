"""The answers as a table for people and as data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lorafa_prof.fitting.answer import Answer, Largest
from lorafa_prof.fitting.fewest import MOST_GPUS
from lorafa_prof.fitting.settings import settings_of
from lorafa_prof.results.row import method_label
from lorafa_prof.words.phrases import listed
from lorafa_prof.words.scales import GIB

_ANSWERED = ("fits", "peak GiB", "left GiB", "max batch", "max seq")
#: Where a cell is of several GPUs.
_FEWEST = "fewest gpus"


@dataclass(frozen=True)
class AnswersTable:
    """The answers as text.

    Attributes:
        shared: the settings of all of them.
        names: so many columns say in what settings they differ; they are the first.
    """

    shared: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    names: int


def answers_table(answers: Sequence[Answer]) -> AnswersTable:
    """A row for each answer."""
    cells = [answer.fit.asked.cell for answer in answers]
    settings = settings_of(cells)
    spread = any(cell.parallel != "none" for cell in cells)
    rows = [
        (*own, *_answered(answer), *([_fewest(answer)] if spread else []))
        for own, answer in zip(settings.of_each, answers, strict=True)
    ]
    header = (*settings.varying, *_ANSWERED, *([_FEWEST] if spread else []))
    shared = ", ".join(f"{key} {value}" for key, value in settings.shared.items())
    return AnswersTable(shared, header, rows, len(settings.varying))


def _answered(answer: Answer) -> tuple[str, ...]:
    fit = answer.fit
    return (
        "yes" if fit.fits else f"no: {fit.failed_phase}",
        GIB.text(fit.memory.peak_allocated_bytes),
        GIB.text(fit.left_bytes),
        _largest(answer.batch),
        _largest(answer.seq),
    )


def _fewest(answer: Answer) -> str:
    if answer.gpus is None:
        return "-"
    return f"over {MOST_GPUS}" if answer.gpus.value is None else str(answer.gpus.value)


def _largest(found: Largest) -> str:
    return "-" if found.value is None else f"{found.value}{'+' if found.is_limit else ''}"


def answers_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The same for programs: plain values in bytes, None where there is no such value."""
    return [_record(answer) for answer in answers]


def _record(answer: Answer) -> dict[str, Any]:
    fit, cell = answer.fit, answer.fit.asked.cell
    settings = cell.model_dump(mode="json", exclude={"model", "method", "device", "steps", "seed"})
    return {
        "model": cell.model.name,
        "method": method_label(cell),
        **cell.method.options,
        **settings,
        "capacity_bytes": fit.asked.capacity_bytes,
        "fits": fit.fits,
        "failed_phase": fit.failed_phase,
        "peak_allocated_bytes": fit.memory.peak_allocated_bytes,
        "peak_reserved_bytes": fit.memory.peak_reserved_bytes,
        "left_bytes": fit.left_bytes,
        "retries": fit.memory.num_alloc_retries,
        "largest_batch": answer.batch.value,
        "largest_batch_is_limit": answer.batch.is_limit,
        "largest_batch_retries": answer.batch.retries,
        "tokens_per_step": answer.tokens_per_step,
        "longest_seq": answer.seq.value,
        "longest_seq_is_limit": answer.seq.is_limit,
        "longest_seq_retries": answer.seq.retries,
        "fewest_gpus": None if answer.gpus is None else answer.gpus.value,
        "fewest_gpus_retries": None if answer.gpus is None else answer.gpus.retries,
        "fits_with": None
        if answer.ways is None
        else [{change.key: change.value for change in way} for way in answer.ways],
        "notes": list(fit.notes),
    }


def remarks(answers: Sequence[Answer]) -> list[str]:
    """What the table does not say, each line once."""
    lines = [line for answer in answers for line in _tight(answer)]
    if not all(answer.fit.fits for answer in answers):
        lines.append("where it does not fit, peak and left are of a step with memory enough")
    return list(dict.fromkeys([*lines, *(note for answer in answers for note in answer.fit.notes)]))


def _tight(answer: Answer) -> list[str]:
    fit, cell = answer.fit, answer.fit.asked.cell
    retries = {
        "the step as asked": (fit.memory.num_alloc_retries or 0) if fit.fits else 0,
        "the largest batch": answer.batch.retries,
        "the longest sequence": answer.seq.retries,
        "the fewest GPUs": answer.gpus.retries if answer.gpus is not None else 0,
    }
    names = [name for name, count in retries.items() if count]
    if not names:
        return []
    what = listed(names)
    return [f"{cell.label} on {cell.gpu}: {what} only with the cache given back on the way, which is slow"]
