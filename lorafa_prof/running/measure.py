"""Measuring or predicting one cell; running out of memory is a result too."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from lorafa_prof.cell import Cell, DeviceKind
from lorafa_prof.results.fingerprint import fingerprint_of
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.running.on_cpu import measure_on_cpu
from lorafa_prof.running.on_cuda import measure_on_cuda
from lorafa_prof.running.out_of_memory import is_out_of_memory, out_of_memory_message
from lorafa_prof.running.predict import predict_on_twin
from lorafa_prof.running.ranks.combine import of_all
from lorafa_prof.running.ranks.launch import run_on_ranks
from lorafa_prof.running.runner import Runner, composed
from lorafa_prof.step import PhaseTracker

_RUNNERS: dict[DeviceKind, Runner] = {"cuda": measure_on_cuda, "cpu": measure_on_cpu}


class TwinRunner(Protocol):
    """A runner of a cell's twin; of a cell of several GPUs of this rank's."""

    def __call__(self, cell: Cell, measured: Measured, tracker: PhaseTracker, rank: int = 0) -> None:
        """Run the cell, and put into `measured` what there is to know of it."""


def measure_cell(cell: Cell) -> CellResult:
    """Measure or predict `cell` and return its result; running out of memory is a result too.

    Raises:
        UsageError: the cell cannot be built as it is written.
    """
    if cell.is_predicted:
        return run_on_twins(cell, predict_on_twin)
    return run_on_device(cell, _RUNNERS[cell.device_kind])


def run_on_device(cell: Cell, run: Runner) -> CellResult:
    """Return the result of `run` on `cell`: of ranks in processes of their own, else in this one.

    Raises:
        UsageError: the cell cannot be built as it is written.
    """
    return run_on_ranks(cell, run) if cell.has_ranks else run_here(cell, run)


def run_on_twins(cell: Cell, run: TwinRunner) -> CellResult:
    """Return the result of `run` on the cell's twin; of several GPUs on that of each kind of rank.

    That is the first rank, and one of each group that is unlike it.

    Raises:
        UsageError: the cell cannot be built as it is written.
    """
    first = run_here(cell, run)
    if cell.parallel == "none":
        return first
    others = [alike[0] for alike in first.details.get("alike_ranks", [])[1:]]
    return of_all(cell, {0: first, **{rank: run_here(cell, partial(run, rank=rank)) for rank in others}})


def run_here(cell: Cell, run: Runner) -> CellResult:
    """Return the result of `run` on `cell` in this process; it may measure only a part of what there is.

    Raises:
        UsageError: the cell cannot be built as it is written.
    """
    # Before the cell runs: what it depends on may be edited meanwhile.
    fingerprint = fingerprint_of(cell)
    measured = Measured()
    tracker = PhaseTracker()
    status: dict[str, Value] = {"status": "ok"}
    notes = []
    try:
        run(cell, measured, tracker)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        status = {"status": "oom", "failed_phase": tracker.phase}
        notes = [out_of_memory_message(error)]
    return composed(cell, measured, fingerprint, status, notes)
