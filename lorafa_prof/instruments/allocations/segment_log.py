"""A log of when an allocator took segments from the device and gave them back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.instruments.allocations.log import Place

Action = Literal["segment_alloc", "segment_free", "segment_map", "segment_unmap"]
Stretch = tuple[int, int]
"""First address, and the one behind the last."""


@dataclass(frozen=True, slots=True)
class SegmentEvent:
    """Memory that was taken from the device or given back to it.

    Attributes:
        action: its name in torch.cuda.memory._snapshot; map and unmap are for expandable segments.
        address: address of the first byte.
        size_bytes: how many bytes.
        before: how many allocations and frees of the log came earlier.
        place: where in the run it came.
    """

    action: Action
    address: int
    size_bytes: int
    before: int
    place: Place


class SegmentLog:
    """Logs the changes of an allocator's segments; call `look` after each request."""

    def __init__(self, allocator: CachingAllocator) -> None:
        self.events: list[SegmentEvent] = []
        self._allocator = allocator
        self._known: list[Stretch] = []
        self._counters = self._count()

    def look(self, address: int | None, before: int, place: Place) -> None:
        """Log what the last request changed in the segments.

        Args:
            address: address of the block that the request was given; None if it failed.
            before: how many allocations and frees of the log came earlier.
            place: where in the run the request came.
        """
        # Walking all segments at every request would take minutes. A change that leaves the counters as they
        # were puts the block into a new segment, whose addresses nothing had before.
        if self._count() == self._counters and address is not None and self._covers(address):
            return
        self._counters = self._count()
        now = sorted((s.address, s.address + s.total_bytes) for s in self._allocator.segments())
        removed, added = set(self._known) - set(now), set(now) - set(self._known)
        expandable = self._allocator.settings.expandable_segments
        given_back: Action = "segment_unmap" if expandable else "segment_free"
        taken: Action = "segment_map" if expandable else "segment_alloc"
        changes = [(given_back, *stretch) for stretch in _without(removed, added)]
        changes += [(taken, *stretch) for stretch in _without(added, removed)]
        self.events += [SegmentEvent(act, start, end - start, before, place) for act, start, end in changes]
        self._known = now

    def _count(self) -> tuple[int, int]:
        return self._allocator.reserved.current, self._allocator.num_alloc_retries

    def _covers(self, address: int) -> bool:
        index = bisect_right(self._known, address, key=lambda stretch: stretch[0]) - 1
        return index >= 0 and address < self._known[index][1]


def _without(stretches: Iterable[Stretch], others: Iterable[Stretch]) -> Iterator[Stretch]:
    """Yield the parts of `stretches` that are in none of `others`, by address."""
    cuts = sorted(others)
    for start, end in sorted(stretches):
        for low, high in cuts:
            if high <= start or end <= low:
                continue
            if start < low:
                yield start, low
            start = min(high, end)
        if start < end:
            yield start, end
