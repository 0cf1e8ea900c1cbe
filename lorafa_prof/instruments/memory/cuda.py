"""Memory of a step as PyTorch's CUDA caching allocator counts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
        return _counters(_statistics(), "current")

    def peak(self) -> Counters:
        """Return the largest bytes since the last `reset_peaks`."""
        return _counters(_statistics(), "peak")

    def read(self) -> tuple[Counters, Counters]:
        """Return `current` and `peak`, of one look at the allocator."""
        statistics = _statistics()
        return _counters(statistics, "current"), _counters(statistics, "peak")

    def reset_peaks(self) -> None:
        """Set the peaks to the bytes now."""
        torch.cuda.reset_peak_memory_stats()

    def num_alloc_retries(self) -> int:
        """Return how often cached blocks had to be given back to serve a request."""
        return int(_statistics()["num_alloc_retries"])


class CudaMemoryMeter(AllocatorMeter):
    """An `AllocatorMeter` for the current CUDA device."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(CudaCounters(), model)


def _statistics() -> dict[str, Any]:
    # This is what the allocator gives; the flat form is made of it in Python, every time anew.
    return torch.cuda.memory_stats_as_nested_dict()


def _counters(statistics: Mapping[str, Any], which: str) -> Counters:
    allocated, requested, active, reserved = (
        statistics[f"{name}_bytes"]["all"][which] for name in ("allocated", "requested", "active", "reserved")
    )
    return Counters(allocated=allocated, requested=requested, active=active, reserved=reserved)
