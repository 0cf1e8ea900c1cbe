"""A timeline: what a run's memory did, allocation by allocation, and what each block was for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lorafa_prof.devices.sim.allocator import AllocatorSettings, CachingAllocator, SimOutOfMemoryError
from lorafa_prof.instruments.allocations.log import AllocationEvent, Place
from lorafa_prof.instruments.allocations.segment_log import SegmentEvent
from lorafa_prof.parts import BlockKind
from lorafa_prof.step import Phase


@dataclass(frozen=True)
class PhaseSpan:
    """A phase of a step, with its events ``events[start:end]``. Each micro-batch has phases of its own."""

    step: int
    phase: Phase
    start: int
    end: int


class BlockState(NamedTuple):
    """A block as it was at the end; fields as in `lorafa_prof.devices.sim.blocks.Block`."""

    address: int
    size: int
    requested_bytes: int
    allocated: bool


class SegmentState(NamedTuple):
    """A segment as it was at the end; its blocks lie side by side, by address."""

    address: int
    total_bytes: int
    is_small_pool: bool
    blocks: tuple[BlockState, ...]


def states_of(allocator: CachingAllocator) -> tuple[SegmentState, ...]:
    """Return a copy of the allocator's segments as they are now."""
    return tuple(
        SegmentState(
            segment.address,
            segment.total_bytes,
            segment.is_small_pool,
            tuple(BlockState(b.address, b.size, b.requested_bytes, b.allocated) for b in segment.blocks),
        )
        for segment in allocator.segments()
    )


class OutOfMemory(NamedTuple):
    """Where and how the run ended before its time."""

    error: SimOutOfMemoryError
    place: Place


@dataclass(frozen=True)
class Timeline:
    """Every allocation and free of building, warm-up and one steady step.

    Attributes:
        events: allocations and frees, in order.
        segment_events: what the allocator took from the device and gave back.
        spans: the phases of all steps.
        kinds: the kind of each allocation for its whole life, by number of the allocation.
        segments: the segments at the end.
        settings: options of the allocator.
        steady: first event of the steady step, and the one behind its last; None if it was not reached.
        out_of_memory: the error that ended the run before the steady step; None if it was reached.
        notes: sentences that a reader must know of the prediction.
    """

    events: tuple[AllocationEvent, ...]
    segment_events: tuple[SegmentEvent, ...]
    spans: tuple[PhaseSpan, ...]
    kinds: Mapping[int, BlockKind]
    segments: tuple[SegmentState, ...]
    settings: AllocatorSettings
    steady: tuple[int, int] | None = None
    out_of_memory: OutOfMemory | None = None
    notes: tuple[str, ...] = ()

    @property
    def steady_spans(self) -> tuple[PhaseSpan, ...]:
        """The phases of the steady step."""
        if self.steady is None:
            return ()
        start, _ = self.steady
        return tuple(span for span in self.spans if span.start >= start)
