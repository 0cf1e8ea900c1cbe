"""Measuring or predicting one cell in this process; running out of memory is a result too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lorafa_prof.cell import Cell, DeviceKind
from lorafa_prof.results.fingerprint import KEY, fingerprint_of
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.provenance import environment
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import details_of, metric_columns, setting_columns
from lorafa_prof.running.on_cpu import measure_on_cpu
from lorafa_prof.running.on_cuda import measure_on_cuda
from lorafa_prof.running.out_of_memory import is_out_of_memory, out_of_memory_line
from lorafa_prof.running.predict import predict_on_twin
from lorafa_prof.step import PhaseTracker

Runner = Callable[[Cell, Measured, PhaseTracker], None]
RUNNERS: dict[DeviceKind, Runner] = {"cuda": measure_on_cuda, "cpu": measure_on_cpu, "sim": predict_on_twin}


def measure_cell(cell: Cell) -> CellResult:
    """Measure `cell` and return its result; running out of memory is a result too.

    Raises:
        UsageError: the cell cannot be built as it is written.
    """
    return run_here(cell, RUNNERS[cell.device_kind])


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
        notes = [out_of_memory_line(error)]
    if notes := [*notes, *measured.notes]:
        status["message"] = "; ".join(notes)
    return CellResult(
        cell=cell,
        row={**setting_columns(cell), **status, **metric_columns(cell, measured)},
        details=details_of(cell, measured),
        environment={**_environment(cell.device), KEY: fingerprint},
    )


def _environment(device: str) -> dict[str, Any]:
    """The machine; where others hold all of a GPU's memory, without what only a context on it would tell."""
    try:
        return environment(device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        unknown = {"name": None, "reason": out_of_memory_line(error)}
        return {**environment("cpu"), "device": device, "gpu": unknown}
