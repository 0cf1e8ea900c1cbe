"""The answers as a table for people and as data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lorafa_prof.fitting.answer import Fit, Largest
from lorafa_prof.running.measure import label_of

GIB = 2**30
HEADER = (
    "model",
    "gpu",
    "method",
    "rank",
    "batch",
    "seq",
    "fits",
    "peak GiB",
    "left GiB",
    "largest batch",
    "tokens/step",
    "longest seq",
)


@dataclass(frozen=True)
class Answer:
    """All that is said of one cell."""

    fit: Fit
    batch: Largest
    seq: Largest

    @property
    def tokens_per_step(self) -> int | None:
        """Of a step with the largest batch."""
        cell = self.fit.asked.cell
        return None if self.batch.value is None else self.batch.value * cell.seq * cell.accumulation


def table_rows(answers: Sequence[Answer]) -> list[tuple[str, ...]]:
    """A row of text for each answer, under `HEADER`."""
    return [_row(answer) for answer in answers]


def _row(answer: Answer) -> tuple[str, ...]:
    fit, cell = answer.fit, answer.fit.asked.cell
    return (
        cell.model.name,
        cell.gpu or "-",
        label_of(cell),
        str(cell.method.options.get("rank") or "-"),
        str(cell.batch),
        str(cell.seq),
        "yes" if fit.fits else "no",
        _gib(fit.memory.peak_allocated_bytes),
        _gib(fit.left_bytes),
        _largest(answer.batch),
        "-" if answer.tokens_per_step is None else str(answer.tokens_per_step),
        _largest(answer.seq),
    )


def _gib(value: int | None) -> str:
    return "-" if value is None else f"{value / GIB:.2f}"


def _largest(found: Largest) -> str:
    return "-" if found.value is None else f"{found.value}{'+' if found.is_limit else ''}"


def records(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The same for programs: plain values in bytes, None where there is no such value."""
    return [_record(answer) for answer in answers]


def _record(answer: Answer) -> dict[str, Any]:
    fit, cell = answer.fit, answer.fit.asked.cell
    settings = cell.model_dump(mode="json", exclude={"model", "method", "device", "steps", "seed"})
    return {
        "model": cell.model.name,
        "method": label_of(cell),
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
        "notes": list(fit.notes),
    }


def remarks(answers: Sequence[Answer]) -> list[str]:
    """What the table does not say, each line once."""
    lines = [line for answer in answers for line in _remarks(answer)]
    return list(dict.fromkeys([*lines, *(note for answer in answers for note in answer.fit.notes)]))


def _remarks(answer: Answer) -> list[str]:
    fit, cell = answer.fit, answer.fit.asked.cell
    where = f"{cell.label} on {cell.gpu}"
    lines = []
    if not fit.fits:
        lines.append(
            f"{where}: runs out of memory in {fit.failed_phase}; "
            f"it would take {_gib(fit.memory.peak_allocated_bytes)} GiB (the allocator would reserve "
            f"{_gib(fit.memory.peak_reserved_bytes)}), and there are {_gib(fit.asked.capacity_bytes)}"
        )
    at_asked = fit.memory.num_alloc_retries if fit.fits else 0
    tight = {"as asked": at_asked, "largest batch": answer.batch.retries, "longest seq": answer.seq.retries}
    if names := [name for name, retries in tight.items() if retries]:
        lines.append(f"{where}, {' and '.join(names)}: fits only by giving cached memory back, which is slow")
    return lines
