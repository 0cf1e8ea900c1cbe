"""What measures a cell in this process, and the result that is made of what it measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.results.fingerprint import KEY
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.provenance import environment
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import details_of, metric_columns, setting_columns
from lorafa_prof.running.out_of_memory import is_out_of_memory, out_of_memory_line
from lorafa_prof.step import PhaseTracker

Runner = Callable[[Cell, Measured, PhaseTracker], None]


def composed(
    cell: Cell,
    measured: Measured,
    fingerprint: dict[str, Any],
    status: dict[str, Value] | None = None,
    notes: Sequence[str] = (),
) -> CellResult:
    """Return the result of `cell`.

    Args:
        cell: what was measured.
        measured: what is known of it.
        fingerprint: what it depends on, from before it ran.
        status: columns that say what became of it; None: it is in order.
        notes: come before those of `measured` in its message.
    """
    status = status or {"status": "ok"}
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
