"""What is predicted of a cell's memory."""

from __future__ import annotations

from dataclasses import dataclass

from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.instruments.saved.recorder import SavedTensors

#: More than any step takes: the allocator never runs out.
UNLIMITED = 1 << 59


@dataclass(frozen=True)
class Prediction:
    """The predicted memory of a cell, or where memory runs out.

    Attributes:
        memory: memory of one steady step; None if memory runs out.
        failed_phase: where it runs out: build, forward, backward or optimizer; None if it does not.
        notes: sentences that a reader must know of the prediction.
        saved: what autograd saved in that step, if that was asked for.
    """

    memory: MemoryProfile | None
    failed_phase: str | None = None
    notes: tuple[str, ...] = ()
    saved: SavedTensors | None = None

    @property
    def fits(self) -> bool:
        """Whether all steps ran."""
        return self.memory is not None
