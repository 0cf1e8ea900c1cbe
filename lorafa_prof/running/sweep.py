"""Running those cells of a scenario that are still to do, and keeping every result at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import groupby, islice
from typing import Literal

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import FAILED, CellResult
from lorafa_prof.results.store import CellResults, Store, without_details
from lorafa_prof.running.pool import available_cores
from lorafa_prof.running.progress import SweepProgress
from lorafa_prof.running.worker import end_cells_under_way, run_cell

Rerun = Literal["missing", "failed", "all"]
#: More processes than this bring little, and each takes half a GiB.
MOST_AT_ONCE = 8


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
    *,
    table_of: Sequence[str],
    timeout_s: float | None,
    max_failures: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run `cells`; record and table are up to date after each.

    What is measured runs alone, so that nothing disturbs it; predictions run side by side.

    Args:
        cells: what to run.
        store: keeps the results.
        progress: shows each cell as it starts and ends.
        results: results of earlier runs; the new ones are added to it.
        table_of: ids of all the cells that belong into the table, in its order.
        timeout_s: limit for one cell.
        max_failures: after so many that failed no other starts; None: whatever becomes of them.
        stop: whether no other cell shall start.
    """
    failures = 0

    def run(cell: Cell) -> CellResult | None:
        if stop() or (max_failures is not None and failures >= max_failures):
            return None
        progress.cell_started(cell)
        return run_cell(cell, store.log_file(cell.cell_id), timeout_s)

    for result in _as_they_come(cells, run):
        failures += result.row["status"] in FAILED
        store.save(result)
        results[result.cell.cell_id] = without_details(result)
        store.write_table(table_of, results)
        progress.cell_ended(result)


def _as_they_come(cells: Sequence[Cell], run: Callable[[Cell], CellResult | None]) -> Iterator[CellResult]:
    """The results of those of `cells` that ran; `run` gives None for one that is not to run."""
    for predicted, group in groupby(cells, key=_is_predicted):
        these = list(group)
        results = _side_by_side(these, run) if predicted else map(run, these)
        yield from (result for result in results if result is not None)


def _side_by_side(
    cells: Sequence[Cell], run: Callable[[Cell], CellResult | None]
) -> Iterator[CellResult | None]:
    workers = min(MOST_AT_ONCE, available_cores())
    pool = ThreadPoolExecutor(workers)
    waiting = iter(cells)
    # No more than can run: what has ended is let go, whose details may be megabytes.
    under_way = {pool.submit(run, cell) for cell in islice(waiting, workers)}
    try:
        while under_way:
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            under_way |= {pool.submit(run, cell) for cell in islice(waiting, len(ended))}
            while ended:
                yield ended.pop().result()
    except BaseException:
        # An interrupt, or a disk that is full: no other starts, and those that run end now.
        pool.shutdown(wait=False, cancel_futures=True)
        while wait(under_way, timeout=0.1).not_done:
            end_cells_under_way()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _is_predicted(cell: Cell) -> bool:
    return cell.is_predicted
