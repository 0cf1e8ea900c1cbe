"""Memory of a step as PyTorch's CUDA caching allocator counts it."""

from __future__ import annotations

import torch
from torch import nn

from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import Counters


class CudaCounters:
    """The counters of the current CUDA device.

    They move on the host as memory is asked for, so nothing is synchronised.
    """

    def current(self) -> Counters:
        """Bytes now."""
        return _counters("current")

    def peak(self) -> Counters:
        """The most since the last `reset_peaks`."""
        return _counters("peak")

    def reset_peaks(self) -> None:
        """Let the peaks start from now."""
        torch.cuda.reset_peak_memory_stats()

    def num_alloc_retries(self) -> int:
        """How often cached blocks had to be given back to serve a request."""
        return int(torch.cuda.memory_stats()["num_alloc_retries"])


class CudaMemoryMeter(AllocatorMeter):
    """An `AllocatorMeter` of the current CUDA device."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(CudaCounters(), model)


def _counters(which: str) -> Counters:
    stats = torch.cuda.memory_stats()
    return Counters(
        allocated=stats[f"allocated_bytes.all.{which}"],
        requested=stats[f"requested_bytes.all.{which}"],
        active=stats[f"active_bytes.all.{which}"],
        reserved=stats[f"reserved_bytes.all.{which}"],
    )
