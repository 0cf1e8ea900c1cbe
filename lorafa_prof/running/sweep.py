"""Running those cells of a scenario that are still to do, and keeping every result at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import groupby
from typing import Literal

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import FAILED
from lorafa_prof.results.store import CellResults, Store, without_details
from lorafa_prof.running.executor import Executor, Orders
from lorafa_prof.running.progress import SweepProgress

Rerun = Literal["missing", "failed", "all"]


def cells_to_run(
    cells: Sequence[Cell], results: CellResults, rerun: Rerun, stale: Collection[str] = ()
) -> list[Cell]:
    """Return the cells that have no result yet; with ``failed`` also those that failed; with ``all`` all.

    Those whose id is in `stale` have a result that is worth none.
    """
    return [
        cell
        for cell in cells
        if rerun == "all"
        or cell.cell_id not in results
        or cell.cell_id in stale
        or (rerun == "failed" and results[cell.cell_id].row["status"] in FAILED)
    ]


def run_sweep(
    cells: Sequence[Cell],
    store: Store,
    progress: SweepProgress,
    results: CellResults,
    executor: Executor,
    *,
    table_of: Sequence[str],
    timeout_s: float | None,
    max_failures: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run `cells`; record and table are up to date after each.

    What is predicted and what is measured never run at the same time.

    Args:
        cells: what to run.
        store: keeps the results.
        progress: shows each cell as it starts and ends.
        results: results of earlier runs; the new ones are added to it.
        executor: runs them.
        table_of: ids of all the cells that belong into the table, in its order.
        timeout_s: limit for one cell.
        max_failures: after so many that failed no other starts; None: whatever becomes of them.
        stop: whether no other cell shall start.
    """
    failures = 0

    def go_on() -> bool:
        return not stop() and (max_failures is None or failures < max_failures)

    orders = Orders(
        log_of=lambda cell: store.log_file(cell.cell_id),
        timeout_s=timeout_s,
        go_on=go_on,
        starting=progress.cell_started,
    )
    for _, group in groupby(cells, key=_is_predicted):
        for result in executor.results(list(group), orders):
            failures += result.row["status"] in FAILED
            store.save(result)
            results[result.cell.cell_id] = without_details(result)
            store.write_table(table_of, results)
            progress.cell_ended(result)


def _is_predicted(cell: Cell) -> bool:
    return cell.is_predicted
