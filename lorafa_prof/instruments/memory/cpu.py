"""Memory of a step on a device without counters: storages followed from birth to death."""

from __future__ import annotations

from torch import nn

from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import Counters
from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.parallel.gloo import await_gloo


class FollowedCounters:
    """Counters like those of an allocator, for the host, whose allocator keeps none.

    The bytes that tensors asked for count as allocated.

    Args:
        follower: a mode that the step runs under.
    """

    def __init__(self, follower: StorageFollower) -> None:
        self._follower = follower

    def current(self) -> Counters:
        """Return the bytes now."""
        await_gloo()
        self._follower.look_again()
        return Counters(self._follower.live_bytes, self._follower.live_bytes)

    def peak(self) -> Counters:
        """Return the largest bytes since the last `reset_peaks`."""
        return Counters(self._follower.peak_bytes, self._follower.peak_bytes)

    def read(self) -> tuple[Counters, Counters]:
        """Return `current` and `peak`."""
        return self.current(), self.peak()

    def reset_peaks(self) -> None:
        """Set the peaks to the bytes now."""
        self._follower.reset_peak()

    def num_alloc_retries(self) -> None:
        """Return None: the host has no cache that could be given back."""


class FollowedMemoryMeter(AllocatorMeter):
    """An `AllocatorMeter` for the host; the step must run under `follower`."""

    def __init__(self, follower: StorageFollower, model: nn.Module) -> None:
        super().__init__(FollowedCounters(follower), model)
