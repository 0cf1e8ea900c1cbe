"""Running the cells of a sweep on this machine.

What is predicted runs side by side on its cores. What is measured runs alone, so that nothing disturbs it; on
a machine with several GPUs side by side too, each cell on a GPU that no other has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.devices.device import cell_on_twin, resolve_device
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.running.executor import Orders
from lorafa_prof.running.gpu_use import free_gpus
from lorafa_prof.running.pool import available_cores
from lorafa_prof.running.side_by_side import side_by_side
from lorafa_prof.running.starting import gpus_needed, needs_cuda
from lorafa_prof.running.worker import run_cell

#: More processes than this bring little, and each takes half a GiB.
MOST_AT_ONCE = 8


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
            yield from side_by_side(cells, orders.may_start, run, _cores())
            return
        gpus = free_gpus() if self.isolated is not True and any(map(needs_cuda, cells)) else []
        if len(gpus) < 2:
            yield from (run(cell, None) for cell in cells if orders.may_start(cell))
            return
        beside = self._beside_others(cells, orders)
        # One that runs alone sees them all: it takes the first, or as many as it needs, if so many are free.
        most = max(map(gpus_needed, cells))
        alone = ",".join(gpus) if most <= len(gpus) else None
        for are_beside, group in groupby(cells, key=lambda cell: cell.cell_id in beside):
            yield from side_by_side(list(group), orders.may_start, run, gpus if are_beside else [alone])

    def _beside_others(self, cells: Sequence[Cell], orders: Orders) -> set[str]:
        """The ids of measured cells that run beside others, which have a GPU each."""
        single = [cell for cell in cells if gpus_needed(cell) == 1]
        if self.isolated is False:
            return {cell.cell_id for cell in single}
        twins = {twin.cell_id: cell for cell in single if (twin := cell_on_twin(cell)) is not None}

        def predict(twin: Cell, _: str | None) -> CellResult:
            return run_cell(twin, orders.log_of(twins[twin.cell_id]), orders.timeout_s, whether_it_fits)

        unseen = replace(orders, starting=lambda cell: None)
        predicted = side_by_side(
            [cell.on_twin() for cell in twins.values()], unseen.may_start, predict, _cores()
        )
        return {twins[result.cell.cell_id].cell_id for result in predicted if result.row["status"] == "ok"}


def whether_it_fits(cell: Cell) -> CellResult:
    """In a process of its own: predict whether `cell`, on a twin, fits. The status is ok, or oom."""
    from lorafa_prof.running.predict_memory import predict_memory

    fits = predict_memory(cell, capacity_bytes=None).fits
    return CellResult(cell=cell, row={**setting_columns(cell), "status": "ok" if fits else "oom"})


def _cores() -> list[None]:
    return [None] * min(MOST_AT_ONCE, available_cores())
