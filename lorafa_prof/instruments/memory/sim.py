"""Memory of a step as the twin's allocator counts it."""

from __future__ import annotations

from torch import nn

from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import Counters


class SimCounters:
    """The counters of the twin's allocator."""

    def __init__(self, allocator: CachingAllocator) -> None:
        self._allocator = allocator

    def current(self) -> Counters:
        """Return the bytes now."""
        a = self._allocator
        return Counters(a.allocated.current, a.requested.current, a.active.current, a.reserved.current)

    def peak(self) -> Counters:
        """Return the largest bytes since the last `reset_peaks`."""
        a = self._allocator
        return Counters(a.allocated.peak, a.requested.peak, a.active.peak, a.reserved.peak)

    def read(self) -> tuple[Counters, Counters]:
        """Return `current` and `peak`."""
        return self.current(), self.peak()

    def reset_peaks(self) -> None:
        """Set the peaks to the bytes now."""
        self._allocator.reset_peaks()

    def num_alloc_retries(self) -> int:
        """Return how often cached blocks had to be given back to serve a request."""
        return self._allocator.num_alloc_retries


class SimMemoryMeter(AllocatorMeter):
    """An `AllocatorMeter` for the twin."""

    def __init__(self, allocator: CachingAllocator, model: nn.Module) -> None:
        super().__init__(SimCounters(allocator), model)
