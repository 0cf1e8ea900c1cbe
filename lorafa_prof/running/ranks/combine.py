"""One result of all ranks: the row of the worst, the record of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.one_line import bounded_line
from lorafa_prof.results.columns import COLUMNS, METRICS
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import setting_columns
from lorafa_prof.running.ranks.failures import Cause, Ended, cause_of

#: What a rank's time decides; the slowest rank's is that of the step.
_OF_TIME = tuple(column.name for column in COLUMNS if column.group == "time" or column.name == "mfu")
#: What of each rank's details is kept, beside those of the worst; the last four are what `verify` compares.
_KEPT = (
    *("memory", "communication", "notes", "marks", "unavailable", "seconds"),
    *("requests", "segments", "stream", "plain"),
)


def combined(cell: Cell, ranks: Sequence[Ended]) -> CellResult:
    """Return the result of `cell` from how each of its ranks ended."""
    if not any(rank.kind for rank in ranks):
        return of_all(cell, _results(ranks))
    cause = cause_of(ranks)
    results = _results(ranks)
    measured = all(rank.report is not None and rank.report.is_sufficient for rank in ranks)
    if cause.status == "oom" and measured:
        # What only explains may fail without losing what was measured.
        return of_all(cell, results, (f"no memory left to explain the step: {cause.message}",))
    return _failed(cell, cause, ranks)


def _results(ranks: Sequence[Ended]) -> dict[int, CellResult]:
    reports = (rank.report for rank in ranks)
    return {
        report.rank: report.result for report in reports if report is not None and report.result is not None
    }


def _failed(cell: Cell, cause: Cause, ranks: Sequence[Ended]) -> CellResult:
    results = _results(ranks)
    known = results.get(cause.rank)
    row: dict[str, Value] = {
        **(known.row if known else setting_columns(cell)),
        "status": cause.status,
        "failed_phase": cause.phase,
        "message": bounded_line(cause.message),
    }
    details = {**(known.details if known else {}), "ranks": _of_each(results)}
    return CellResult(cell=cell, row=row, details=details, environment=known.environment if known else {})


def of_all(cell: Cell, results: Mapping[int, CellResult], notes: Sequence[str] = ()) -> CellResult:
    """Return the result of `cell` from those of its ranks, by number, which all came to their end.

    Where one had no memory left, which a twin tells of each by itself, that one's is the cell's.
    """
    failed = next((result for result in results.values() if result.row["status"] == "oom"), None)
    if failed is not None:
        return failed.model_copy(update={"details": {**failed.details, "ranks": _of_each(results)}})
    worst = max(results.values(), key=lambda result: _number(result, "peak_allocated_bytes"))
    slowest = max(results.values(), key=lambda result: _number(result, "step_ms_median"))
    row = dict(worst.row)
    row |= {name: slowest.row[name] for name in _OF_TIME if name in slowest.row}
    energies = [result.row.get("energy_j_per_token") for result in results.values()]
    if all(energies):
        # Each rank's joules are over the tokens of all.
        row["energy_j_per_token"] = sum(float(energy or 0) for energy in energies)
    else:
        row.pop("energy_j_per_token", None)
    marks: dict[str, str] = {}
    for result in results.values():
        marks = {**result.details.get("marks", {}), **marks}
    told = [*notes, *_notes(results)]
    row.pop("message", None)
    if told:
        row["message"] = "; ".join(told)
    details = {**worst.details, "marks": marks, "notes": told, "ranks": _of_each(results)}
    return CellResult(cell=cell, row=row, details=details, environment=worst.environment)


def _notes(results: Mapping[int, CellResult]) -> list[str]:
    """What all ranks note, each once, and what only some do with their number."""
    by_rank = {rank: result.details.get("notes", []) for rank, result in results.items()}
    notes: list[str] = []
    for rank, those in by_rank.items():
        for note in those:
            common = all(note in others for others in by_rank.values())
            notes.append(note if common else f"rank {rank}: {note}")
    return list(dict.fromkeys(notes))


def _of_each(results: Mapping[int, CellResult]) -> list[dict[str, Any]]:
    names = [column.name for column in METRICS]
    return [
        {
            "rank": rank,
            **{name: result.row[name] for name in names if name in result.row},
            **{key: result.details[key] for key in _KEPT if key in result.details},
        }
        for rank, result in results.items()
    ]


def _number(result: CellResult, column: str) -> float:
    return float(result.row.get(column) or 0)
