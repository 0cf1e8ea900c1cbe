"""One side of a comparison: the cells of a folder that `lorafa-prof run` wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.comparing.origin import Origin, origin_of
from lorafa_prof.errors import UsageError
from lorafa_prof.results.marks import marks_in
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import contradicted_columns
from lorafa_prof.results.store import DamagedRecordError, Store
from lorafa_prof.results.table import read_table
from lorafa_prof.results.tensors import Tensors, saved_tensors

#: Milliseconds of each timed step in the order they ran, by "step" and by phase.
Samples = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Outcome:
    """What a comparison needs of a cell's record, which is many times larger.

    Attributes:
        cell: the cell with its settings.
        row: its row of the table.
        origin: versions and settings it was measured with; None if the cell's process died.
        samples: its times; empty if there was no clock.
        num_alloc_retries: how often the allocator gave its cache back; above 0 the row compares to no other.
        saved: the tensors that autograd saved; None if they were not recorded.
        marks: what makes its row worth less than others, by the names of `results/marks.py`.
        unavailable: why a value is missing, by its name.
        contradicted: columns of the row that are not of the cell.
    """

    cell: Cell
    row: Mapping[str, Value]
    origin: Origin | None
    samples: Samples
    num_alloc_retries: int
    saved: Tensors | None
    unavailable: Mapping[str, str]
    marks: Mapping[str, str] = field(default_factory=dict)
    contradicted: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """The cell's status: ok, oom, error, timeout or skipped."""
        return str(self.row["status"])

    @property
    def kind(self) -> str:
        """The kind of the cell's device: cuda, cpu or sim."""
        return self.cell.device_kind


@dataclass(frozen=True)
class Side:
    """One run of the two: its folder, and its cells in the order of the table."""

    out: Path
    outcomes: tuple[Outcome, ...]


def read_side(out: Path) -> Side:
    """Read the cells of ``out/results.csv``, or all of ``out/cells`` where there is no such table.

    Raises:
        UsageError: no such folder, one that cannot be read, or a damaged or missing record.
        NothingToJudgeError: it holds no results.
    """
    store = Store(out)
    try:
        return Side(out, tuple(_outcome_in(store, cell_id) for cell_id in _cell_ids(store)))
    except OSError as error:
        raise UsageError(f"{out}: cannot be read: {error.strerror}") from error


def _cell_ids(store: Store) -> Sequence[str]:
    if not store.results_csv.is_file() and (kept := store.others(())):
        return kept
    return [str(cell_id) for cell_id in read_table(store.out)["cell_id"]]


def _outcome_in(store: Store, cell_id: str) -> Outcome:
    result = store.load(cell_id)
    file = store.cell_file(cell_id)
    if result is None:
        raise UsageError(
            f"{file}: no such record, though {store.results_csv.name} has its row; a comparison reads the "
            "records: give the whole folder that `lorafa-prof run` wrote"
        )
    try:
        return outcome_of(result)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedRecordError(file) from error


def outcome_of(result: CellResult) -> Outcome:
    """Return what a comparison needs of `result`.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: its details or environment are not what a run writes.
    """
    details = result.details
    return Outcome(
        cell=result.cell,
        row=result.row,
        origin=origin_of(result.environment),
        samples=_samples(details.get("times")),
        num_alloc_retries=int((details.get("memory") or {}).get("num_alloc_retries") or 0),
        saved=saved_tensors(details),
        unavailable=dict(details.get("unavailable") or {}),
        marks=marks_in(details),
        contradicted=tuple(contradicted_columns(result)),
    )


def _samples(times: Mapping[str, Any] | None) -> Samples:
    if not times:
        return {}
    written = {"step": times["step_ms"], **times["phase_ms"]}
    samples = {name: tuple(float(ms) for ms in times_ms) for name, times_ms in written.items()}
    if not all(math.isfinite(ms) and ms >= 0 for times_ms in samples.values() for ms in times_ms):
        raise ValueError("a time that is none")
    return samples
