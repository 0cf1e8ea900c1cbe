"""Memory of a step where no allocator counts: storages followed from birth to death."""

from __future__ import annotations

from torch import nn

from lorafa_prof.instruments.memory import Counters, MemoryProfile, PhaseMemory
from lorafa_prof.instruments.storages import StorageFollower, storage_bytes
from lorafa_prof.step import Phase


class FollowedMemoryMeter:
    """Reads a `StorageFollower` at the borders of phases; the step must run under that follower.

    What it calls allocated are the bytes that tensors asked for: the host's allocator keeps no counters.
    """

    def __init__(self, follower: StorageFollower, model: nn.Module) -> None:
        self._follower = follower
        self._model = model
        self._phases: dict[Phase, PhaseMemory] = {}
        self._start: Counters | None = None
        self._gradients_bytes = 0

    def phase_started(self, phase: Phase) -> None:
        """Note what lives and let the peak start here."""
        self._follower.reset_peak()
        self._start = self._now()

    def phase_ended(self, phase: Phase) -> None:
        """Note what lives and the peak since the start."""
        assert self._start is not None
        peak = self._follower.peak_bytes
        memory = PhaseMemory(self._start, self._now(), Counters(allocated=peak, requested=peak))
        self._phases[phase] = memory.after(self._phases.get(phase))
        if phase == "backward":
            grads = (p.grad for p in self._model.parameters() if p.grad is not None)
            self._gradients_bytes = storage_bytes(grads)

    def _now(self) -> Counters:
        live = self._follower.live_bytes
        return Counters(allocated=live, requested=live)

    def profile(self) -> MemoryProfile:
        """The step just observed."""
        return MemoryProfile(
            phases=dict(self._phases),
            gradients_bytes=self._gradients_bytes,
            peak_reserved_bytes=None,
            num_alloc_retries=None,
        )
