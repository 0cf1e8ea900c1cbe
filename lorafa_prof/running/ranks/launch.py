"""Measuring a cell on several ranks, and one result of it, whatever becomes of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.ranks.allocation import allocation_here
from lorafa_prof.running.ranks.combine import combined
from lorafa_prof.running.ranks.failures import Ended
from lorafa_prof.running.ranks.leading import run_in_allocation
from lorafa_prof.running.ranks.processes import meeting_place, rank_environment, started
from lorafa_prof.running.ranks.progress import places_in, ranks_folder
from lorafa_prof.running.ranks.rank import work_on_rank
from lorafa_prof.running.ranks.report import report_in
from lorafa_prof.running.runner import Runner

#: So long after the first rank failed the others may say what they know of it.
_LAST_WORDS_S = 1.0


def run_on_ranks(cell: Cell, run: Runner) -> CellResult:
    """Return the result of `run` on `cell` on as many ranks as the cell has GPUs.

    They are on this machine, or where the user started them. Where one fails the others are ended, and the
    result says which, and where it was.
    """
    allocation = allocation_here()
    ranks = _run_here(cell, run) if allocation is None else run_in_allocation(allocation, cell, run)
    return combined(cell, ranks)


def _run_here(cell: Cell, run: Runner) -> list[Ended]:
    with ranks_folder() as folder, meeting_place(cell.gpus) as meeting:
        environments = [rank_environment(meeting, rank, rank) for rank in range(cell.gpus)]
        with started(environments, work_on_rank, cell, run, folder) as processes:
            _await(processes)
            codes = [process.exitcode for process in processes]
        places = places_in(folder, cell.gpus)
        return [Ended(rank, report_in(folder, rank), codes[rank], places[rank]) for rank in range(cell.gpus)]


def _await(processes: Sequence[BaseProcess]) -> None:
    """Return when all processes have ended, or shortly after the first that failed."""
    until: float | None = None
    running = list(processes)
    while running and (until is None or time.monotonic() < until):
        wait([process.sentinel for process in running], None if until is None else until - time.monotonic())
        running = [process for process in running if process.is_alive()]
        if until is None and any(process.exitcode for process in processes):
            until = time.monotonic() + _LAST_WORDS_S
