"""The requests of a cell on the twin, and what an allocator makes of them elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.running.recorded_step import record_step

_SLOT_BITS = 36  # 64 GiB: more than any segment has


class Request(NamedTuple):
    """An allocation, or the free of one; `number` is the allocation's."""

    is_free: bool
    number: int
    bytes: int
    step: int
    phase: str
    module: str
    operation: str


class Outcome(NamedTuple):
    """What the allocator's counters came to, by the names of a verification's metrics."""

    activation_bytes: int
    peak_allocated_bytes: int
    peak_reserved_bytes: int


def requests_of(cell: Cell) -> list[Request]:
    """All requests of a cell, from its first weight to its last step."""
    return [
        Request(
            event.kind == "free",
            event.allocation,
            event.requested_bytes,
            event.place.step,
            event.place.phase,
            event.place.module,
            event.place.operation,
        )
        for event in record_step(cell).timeline.events
    ]


def outcome(requests: Iterable[Request], addresses: Iterable[int] = ()) -> Outcome:
    """The last step's counters, with the segments at these addresses."""
    allocator = CachingAllocator(addresses=addresses)
    blocks = {}
    step, phase, ends = 0, "", {}
    for request in requests:
        if (request.step, request.phase) != (step, phase):
            ends[phase] = allocator.allocated.current
            if request.step != step:
                ends["before"] = allocator.allocated.current
                allocator.reset_peaks()
            step, phase = request.step, request.phase
        if request.is_free:
            allocator.free(blocks.pop(request.number))
        else:
            blocks[request.number] = allocator.malloc(request.bytes)
    return Outcome(ends["forward"] - ends["before"], allocator.allocated.peak, allocator.reserved.peak)


def any_addresses(seed: int) -> Iterator[int]:
    """Addresses of segments in no order."""
    slots = random.Random(seed).sample(range(1, 1 << 16), 1 << 12)
    return (slot << _SLOT_BITS for slot in slots)
