"""The answers as a table for people and as data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import Answer, Largest
from lorafa_prof.fitting.fewest import MOST_GPUS
from lorafa_prof.results.row import method_label
from lorafa_prof.scenario.labels import told_apart
from lorafa_prof.words.phrases import listed
from lorafa_prof.words.scales import GIB

_ASKED = ("model", "gpu", "method", "rank", "batch", "seq")
_ANSWERED = (
    "fits",
    "runs out in",
    "peak GiB",
    "left GiB",
    "largest batch",
    "tokens/step",
    "longest seq",
)
#: Where a cell is of several GPUs.
_GPUS, _FEWEST = "gpus", "fewest gpus"


@dataclass(frozen=True)
class AnswersTable:
    """The answers as text; the first `names` columns say what was asked."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    names: int


def answers_table(answers: Sequence[Answer]) -> AnswersTable:
    """A row for each answer. Where others are asked alike, a column more says what tells them apart."""
    cells = [answer.fit.asked.cell for answer in answers]
    spread = any(cell.parallel != "none" for cell in cells)

    def asked(cell: Cell) -> tuple[str, ...]:
        return (*_asked(cell), *([str(cell.gpus)] if spread else []))

    apart = told_apart(cells, asked)
    others = any(apart.values())
    named = (*_ASKED, *([_GPUS] if spread else []), *(["settings"] if others else []))
    rows = [
        (
            *asked(cell),
            *([apart[cell.cell_id] or "-"] if others else []),
            *_answered(answer),
            *([_fewest(answer)] if spread else []),
        )
        for cell, answer in zip(cells, answers, strict=True)
    ]
    return AnswersTable((*named, *_ANSWERED, *([_FEWEST] if spread else [])), rows, len(named))


def _asked(cell: Cell) -> tuple[str, ...]:
    return (
        cell.model.name,
        cell.gpu or "-",
        method_label(cell),
        str(cell.method.options.get("rank") or "-"),
        str(cell.batch),
        str(cell.seq),
    )


def _answered(answer: Answer) -> tuple[str, ...]:
    fit = answer.fit
    return (
        "yes" if fit.fits else "no",
        fit.failed_phase or "-",
        GIB.text(fit.memory.peak_allocated_bytes),
        GIB.text(fit.left_bytes),
        _largest(answer.batch),
        "-" if answer.tokens_per_step is None else str(answer.tokens_per_step),
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
