"""Running the cells of a sweep on this machine.

What is predicted runs side by side on its cores. What is measured runs alone, so that nothing disturbs it; on
a machine with several GPUs side by side too, each cell on a GPU that no other has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import groupby

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.devices.device import cell_on_twin, resolve_device
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.running.executor import Orders
from lorafa_prof.running.gpu_use import free_gpus
from lorafa_prof.running.pool import available_cores
from lorafa_prof.running.starting import gpus_needed, needs_cuda
from lorafa_prof.running.worker import end_cells_under_way, run_cell

#: More processes than this bring little, and each takes half a GiB.
MOST_AT_ONCE = 8
#: A cell that runs now: by the GPUs that it sees, as CUDA_VISIBLE_DEVICES names them; None: those that this
#: process sees.
_Run = Callable[[Cell, str | None], CellResult]


@dataclass(frozen=True)
class OnThisMachine:
    """The executor of a sweep that no option sends elsewhere.

    Attributes:
        isolated: whether measured cells run one after the other though there are several GPUs; None: those
            do that do not fit, as the twin predicts.
    """

    isolated: bool | None = None

    def resolve_device(self, device: str, gpu: str) -> ResolvedDevice:
        """Return the device of this machine; see `devices.device.resolve_device`."""
        return resolve_device(device, gpu)

    def results(self, cells: Sequence[Cell], orders: Orders) -> Iterator[CellResult]:
        """Run `cells` and yield their results as they come; see `executor.Executor`."""

        def run(cell: Cell, gpu: str | None) -> CellResult:
            return run_cell(cell, orders.log_of(cell), orders.timeout_s, visible_gpus=gpu)

        if cells[0].is_predicted:
            yield from _side_by_side(cells, orders, run, _cores())
            return
        gpus = free_gpus() if self.isolated is not True and any(map(needs_cuda, cells)) else []
        if len(gpus) < 2:
            yield from (run(cell, None) for cell in cells if orders.may_start(cell))
            return
        beside = self._beside_others(cells, orders)
        # One that runs alone sees them all: it takes the first, or as many as it needs, if so many are free.
        most = max(map(gpus_needed, cells))
        alone = ",".join(gpus) if most <= len(gpus) else None
        for side_by_side, group in groupby(cells, key=lambda cell: cell.cell_id in beside):
            yield from _side_by_side(list(group), orders, run, gpus if side_by_side else [alone])

    def _beside_others(self, cells: Sequence[Cell], orders: Orders) -> set[str]:
        """The ids of measured cells that run beside others, which have a GPU each."""
        single = [cell for cell in cells if gpus_needed(cell) == 1]
        if self.isolated is False:
            return {cell.cell_id for cell in single}
        twins = {twin.cell_id: cell for cell in single if (twin := cell_on_twin(cell)) is not None}

        def predict(twin: Cell, _: str | None) -> CellResult:
            return run_cell(twin, orders.log_of(twins[twin.cell_id]), orders.timeout_s, whether_it_fits)

        unseen = replace(orders, starting=lambda cell: None)
        predicted = _side_by_side([cell.on_twin() for cell in twins.values()], unseen, predict, _cores())
        return {twins[result.cell.cell_id].cell_id for result in predicted if result.row["status"] == "ok"}


def whether_it_fits(cell: Cell) -> CellResult:
    """In a process of its own: predict whether `cell`, on a twin, fits. The status is ok, or oom."""
    from lorafa_prof.running.predict_memory import predict_memory

    fits = predict_memory(cell, capacity_bytes=None).fits
    return CellResult(cell=cell, row={**setting_columns(cell), "status": "ok" if fits else "oom"})


def _cores() -> list[None]:
    return [None] * min(MOST_AT_ONCE, available_cores())


def _side_by_side(
    cells: Sequence[Cell], orders: Orders, run: _Run, slots: Sequence[str | None]
) -> Iterator[CellResult]:
    """The results of `cells`, of which as many run at once as there are slots, each with one at a time."""
    pool = ThreadPoolExecutor(len(slots))
    waiting = iter(cells)
    free = list(reversed(slots))
    under_way: dict[Future[CellResult], str | None] = {}

    def fill() -> None:
        # No more than can run: what has ended is let go, whose details may be megabytes.
        while free and (cell := next(waiting, None)) is not None:
            if orders.may_start(cell):
                slot = free.pop()
                under_way[pool.submit(run, cell, slot)] = slot

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
