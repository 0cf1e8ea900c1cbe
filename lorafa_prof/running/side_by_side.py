"""Running what has processes of its own side by side, and ending all of it if the caller leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from lorafa_prof.running.worker import end_cells_under_way

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(
    items: Sequence[T],
    may_start: Callable[[T], bool],
    run: Callable[[T, str | None], R],
    slots: Sequence[str | None],
) -> Iterator[R]:
    """Yield what came of `items` as it comes, of which as many run at once as there are slots.

    Args:
        items: run in this order.
        may_start: whether one may start, now.
        run: runs one in a slot, by `worker.run_cell`.
        slots: each has one at a time: the GPUs that it sees, as CUDA_VISIBLE_DEVICES names them; None: those
            that this process sees.
    """
    pool = ThreadPoolExecutor(len(slots))
    waiting = iter(items)
    free = list(reversed(slots))
    under_way: dict[Future[R], str | None] = {}

    def fill() -> None:
        # No more than can run: what has ended is let go, whose details may be megabytes.
        while free and (item := next(waiting, None)) is not None:
            if may_start(item):
                slot = free.pop()
                under_way[pool.submit(run, item, slot)] = slot

    try:
        fill()
        while under_way:
            done = wait(under_way, return_when=FIRST_COMPLETED).done
            while done:
                ended = done.pop()
                free.append(under_way.pop(ended))
                yield ended.result()
                del ended
                fill()
    except BaseException:
        # An interrupt, or a disk that is full: no other starts, and those that run end now.
        pool.shutdown(wait=False, cancel_futures=True)
        while wait(under_way, timeout=0.1).not_done:
            end_cells_under_way()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
