"""Ranks that the user started: each runs `lorafa-prof run`, and rank 0 leads.

Rank 0 runs the sweep and keeps the results. It puts each cell of several ranks into the store that all share,
and every rank of the cell, rank 0 too, measures its share in a process of its own and puts back how it ended.
"""

from __future__ import annotations

import pickle
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from lorafa_prof.cell import Cell
from lorafa_prof.errors import LorafaProfError, first_line
from lorafa_prof.running.ranks.allocation import TASKS, Allocation, over, store_of
from lorafa_prof.running.ranks.failures import Ended
from lorafa_prof.running.ranks.processes import meeting_place, rank_environment, started
from lorafa_prof.running.ranks.progress import Place, places_in, ranks_folder
from lorafa_prof.running.ranks.rank import work_on_rank
from lorafa_prof.running.ranks.report import report_in
from lorafa_prof.running.runner import Runner

_LOOK_S = 0.1
#: So long after one rank failed the others may say what they know of it, and where they were.
_LAST_WORDS_S = 1.0
_LAST_REPORTS_S = 15.0
_END = "end"


@contextmanager
def leading(allocation: Allocation) -> Iterator[None]:
    """A context around all that rank 0 does; at its end the other ranks end too."""
    store = store_of(allocation, serve=True)
    try:
        yield
    finally:
        store.set(_END, "")
        # With this process the store may end, which the others have to look into first.
        _wait(lambda: store.check([_left(rank) for rank in range(1, allocation.ranks)]), _LAST_REPORTS_S)


def follow(allocation: Allocation) -> None:
    """Be a rank of each cell that rank 0 puts up, until it ends.

    Raises:
        LorafaProfError: rank 0 is gone without a word.
    """
    try:
        _follow(allocation, store_of(allocation))
    except dist.DistNetworkError as error:
        raise LorafaProfError(f"rank 0 is gone ({first_line(error)}): see what it printed") from error


def _follow(allocation: Allocation, store: Any) -> None:
    number = 0
    while True:
        number += 1
        while not store.check([_task(number)]):
            if store.check([_END]):
                store.set(_left(allocation.rank), "")
                return
            time.sleep(_LOOK_S)
        cell, run, meeting = _unpacked(store.get(_task(number)))
        if allocation.rank < cell.gpus:
            _be_a_rank(store, number, allocation, cell, run, meeting)


def run_in_allocation(allocation: Allocation, cell: Cell, run: Runner) -> list[Ended]:
    """Return how each rank of `cell` ended; called on rank 0."""
    store = store_of(allocation)
    number = store.add(TASKS, 1)
    with meeting_place(cell.gpus, allocation.address) as meeting:
        store.set(_task(number), _packed((cell, run, meeting)))
        _be_a_rank(store, number, allocation, cell, run, meeting)
        keys = [_ended(number, rank) for rank in range(cell.gpus)]
        _wait(lambda: store.check(keys) or store.check([over(number)]))
        _wait(lambda: store.check(keys), _LAST_REPORTS_S)
    silent = Place(phase="an unknown place")
    return [
        _unpacked(store.get(key)) if store.check([key]) else Ended(rank, None, None, silent)
        for rank, key in enumerate(keys)
    ]


def _be_a_rank(
    store: Any, number: int, allocation: Allocation, cell: Cell, run: Runner, meeting: dict[str, str]
) -> None:
    """Measure this rank's share, and put into the store how that ended."""
    rank = allocation.rank
    environment = rank_environment(meeting, rank, allocation.local_rank)
    with ranks_folder() as folder:
        with started([environment], work_on_rank, cell, run, folder) as (process,):
            _wait(lambda: not process.is_alive() or store.check([over(number)]))
            process.join(_LAST_WORDS_S)
            code = process.exitcode
        ended = Ended(rank, report_in(folder, rank), code, places_in(folder, cell.gpus)[rank])
    store.set(_ended(number, rank), _packed(ended))
    if ended.kind:
        store.set(over(number), "")


def _wait(until: Callable[[], bool], at_most_s: float = float("inf")) -> None:
    deadline = time.monotonic() + at_most_s
    while not until() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def _packed(value: Any) -> bytes:
    return zlib.compress(pickle.dumps(value))


def _unpacked(data: bytes) -> Any:
    return pickle.loads(zlib.decompress(data))


def _left(rank: int) -> str:
    return f"left/{rank}"


def _task(number: int) -> str:
    return f"task/{number}"


def _ended(number: int, rank: int) -> str:
    return f"ended/{number}/{rank}"
