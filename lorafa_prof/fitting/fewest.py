"""How many GPUs a sharded cell needs, so that its part fits on each."""

from __future__ import annotations

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.answer import Fewest, Fit, Predict
from lorafa_prof.fitting.search import largest
from lorafa_prof.instruments.memory.profile import MemoryProfile

#: More GPUs are not looked at.
MOST_GPUS = 1024


def fewest_gpus(fit: Fit, predict: Predict) -> Fewest | None:
    """Return on how many GPUs the cell fits and on one fewer does not; None if nothing of it is sharded."""
    asked = fit.asked
    if asked.cell.parallel != "fsdp2":
        return None
    most = max(MOST_GPUS, asked.cell.gpus)
    needs = _Needs(asked.cell.gpus, fit.memory)

    def fits_without(left_out: int) -> bool:
        cell: Cell = asked.cell.model_copy(update={"gpus": most - left_out})
        prediction = predict(cell, asked.capacity_bytes)
        if prediction.memory is not None:
            needs.note(cell.gpus, prediction.memory)
        return prediction.memory is not None

    # The more are left out the less fits, which is how `largest` looks.
    low, high = -1, most
    if fit.fits:
        low = most - asked.cell.gpus
    else:
        high = most - asked.cell.gpus
    left_out = largest(
        fits_without, low=low, high=high, guess=lambda low, high: most - needs.guess(asked.capacity_bytes)
    )
    gpus = most - left_out
    return Fewest(None if left_out < 0 else gpus, needs.retries.get(gpus, 0))


class _Needs:
    """What a cell needs on each GPU: what is sharded, over their number, and what is not."""

    def __init__(self, gpus: int, memory: MemoryProfile) -> None:
        self.retries: dict[int, int] = {}
        self.note(gpus, memory)

    def note(self, gpus: int, memory: MemoryProfile) -> None:
        """Keep what it needs on so many."""
        here = memory.static_bytes + (memory.gradients_bytes or 0)
        self._sharded = here * gpus
        self._whole = (memory.peak_reserved_bytes or 0) - here
        self.retries[gpus] = memory.num_alloc_retries or 0

    def guess(self, budget: int) -> int:
        """Return on how many it may fit."""
        left = budget - self._whole
        return -(-self._sharded // left) if left > 0 else MOST_GPUS
