"""Running the cells of a scenario, those that are still to do, and keeping every result at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lorafa_prof.running.progress import SweepProgress
from lorafa_prof.running.store import Results, Store, without_details
from lorafa_prof.running.worker import run_cell
from lorafa_prof.scenario.cell import Cell

Rerun = Literal["missing", "failed", "all"]
FAILED = ("error", "timeout", "skipped")


def cells_to_run(cells: Sequence[Cell], results: Results, rerun: Rerun) -> list[Cell]:
    """Those of `cells` that have no result yet; with ``failed`` also those that failed; or all."""
    return [
        cell
        for cell in cells
        if rerun == "all"
        or cell.cell_id not in results
        or (rerun == "failed" and results[cell.cell_id].row["status"] in FAILED)
    ]


def run_sweep(
    cells: Sequence[Cell],
    store: Store,
    progress: SweepProgress,
    results: Results,
    *,
    table_of: Sequence[str],
    timeout_s: float | None,
) -> None:
    """Run `cells` one after the other; record and table are up to date after each.

    Args:
        cells: what to run.
        store: keeps the results.
        progress: is told of each cell.
        results: those of earlier runs; takes the new ones.
        table_of: ids of all the cells that belong into the table, in its order.
        timeout_s: limit for one cell.
    """
    for cell in cells:
        progress.cell_started(cell)
        result = run_cell(cell, store.log_file(cell.cell_id), timeout_s)
        store.save(result)
        results[cell.cell_id] = without_details(result)
        store.write_table(table_of, results)
        progress.cell_ended(result)
