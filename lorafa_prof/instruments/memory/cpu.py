"""Memory of a step where no allocator counts: storages followed from birth to death."""

from __future__ import annotations

from torch import nn

from lorafa_prof.instruments.memory.allocator import AllocatorMeter
from lorafa_prof.instruments.memory.profile import Counters
from lorafa_prof.instruments.memory.storages import StorageFollower


class FollowedCounters:
    """The counters of an allocator that hands out what it is asked for: the host's keeps none of its own.

    What it calls allocated are the bytes that tensors asked for.

    Args:
        follower: entered while there is something to count.
    """

    def __init__(self, follower: StorageFollower) -> None:
        self._follower = follower

    def current(self) -> Counters:
        """Bytes now."""
        return Counters(self._follower.live_bytes, self._follower.live_bytes)

    def peak(self) -> Counters:
        """The most since the last `reset_peaks`."""
        return Counters(self._follower.peak_bytes, self._follower.peak_bytes)

    def reset_peaks(self) -> None:
        """Let the peaks start from now."""
        self._follower.reset_peak()

    def num_alloc_retries(self) -> None:
        """There is no cache that could be given back."""


class FollowedMemoryMeter(AllocatorMeter):
    """An `AllocatorMeter` of the host; the step must run under `follower`."""

    def __init__(self, follower: StorageFollower, model: nn.Module) -> None:
        super().__init__(FollowedCounters(follower), model)
