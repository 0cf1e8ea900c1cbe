"""Memory of a step as PyTorch's CUDA caching allocator counts it."""

from __future__ import annotations

import torch
from torch import nn

from lorafa_prof.instruments.memory import Counters, MemoryProfile, PhaseMemory
from lorafa_prof.instruments.storages import storage_bytes
from lorafa_prof.step import Phase


def _counters(which: str) -> Counters:
    stats = torch.cuda.memory_stats()
    return Counters(
        allocated=stats[f"allocated_bytes.all.{which}"],
        requested=stats[f"requested_bytes.all.{which}"],
        active=stats[f"active_bytes.all.{which}"],
        reserved=stats[f"reserved_bytes.all.{which}"],
    )


class CudaMemoryMeter:
    """Reads the allocator's counters at the borders of phases, and resets its peaks there.

    The counters move on the host as memory is asked for, so nothing is synchronised. The peak of reserved
    is of the whole process, so it is kept over the resets.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._phases: dict[Phase, PhaseMemory] = {}
        self._start: Counters | None = None
        self._gradients_bytes = 0
        self._peak_reserved = 0

    def phase_started(self, phase: Phase) -> None:
        """Note the counters and let the peaks start here."""
        self._keep_reserved()
        torch.cuda.reset_peak_memory_stats()
        self._start = _counters("current")

    def phase_ended(self, phase: Phase) -> None:
        """Note the counters and the peaks since the start."""
        assert self._start is not None
        memory = PhaseMemory(self._start, _counters("current"), _counters("peak"))
        self._phases[phase] = memory.after(self._phases.get(phase))
        self._keep_reserved()
        if phase == "backward":
            grads = (p.grad for p in self._model.parameters() if p.grad is not None)
            self._gradients_bytes = storage_bytes(grads)

    def _keep_reserved(self) -> None:
        self._peak_reserved = max(self._peak_reserved, torch.cuda.max_memory_reserved())

    def profile(self) -> MemoryProfile:
        """The step just observed."""
        self._keep_reserved()
        return MemoryProfile(
            phases=dict(self._phases),
            gradients_bytes=self._gradients_bytes,
            peak_reserved_bytes=self._peak_reserved,
            num_alloc_retries=torch.cuda.memory_stats()["num_alloc_retries"],
        )
