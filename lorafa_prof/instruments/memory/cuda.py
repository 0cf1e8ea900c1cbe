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
        """Return the bytes now."""
        return _counters("current")

    def peak(self) -> Counters:
        """Return the largest bytes since the last `reset_peaks`."""
        return _counters("peak")

    def reset_peaks(self) -> None:
        """Set the peaks to the bytes now."""
        torch.cuda.reset_peak_memory_stats()

    def num_alloc_retries(self) -> int:
        """Return how often cached blocks had to be given back to serve a request."""
        return int(torch.cuda.memory_stats_as_nested_dict()["num_alloc_retries"])


class CudaMemoryMeter(AllocatorMeter):
    """An `AllocatorMeter` for the current CUDA device."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(CudaCounters(), model)


def _counters(statistic: str) -> Counters:
    # The nested form is what the allocator gives; of it the flat one is made in Python, every time anew.
    stats = torch.cuda.memory_stats_as_nested_dict()
    allocated, requested, active, reserved = (
        stats[f"{name}_bytes"]["all"][statistic] for name in ("allocated", "requested", "active", "reserved")
    )
    return Counters(allocated=allocated, requested=requested, active=active, reserved=reserved)
