"""A timeline as the snapshot that torch.cuda.memory._dump_snapshot writes and pytorch.org/memory_viz opens.

Fields and meaning are those of torch/cuda/memory.py (_snapshot) and torch/csrc/cuda/memory_snapshot.cpp
(`device`, which the viewer sorts by, is in the latter only). Frames name the line of the user's own code,
where there is one, then operation, module and phase. Every entry has the category of its block: the viewer
colours by it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import cache
from typing import Any

from lorafa_prof.devices.sim.settings import AllocatorSettings
from lorafa_prof.instruments.allocations.log import AllocationEvent, Place
from lorafa_prof.instruments.allocations.segment_log import SegmentEvent
from lorafa_prof.instruments.allocations.timeline import BlockState, OutOfMemory, SegmentState, Timeline

DEVICE, STREAM, POOL = 0, 0, (0, 0)
LOWEST_ADDRESS = 0x7F0000000000
"""Where the lowest segment is put: JavaScript's numbers are exact below 2^53 only."""
PROTOCOL = 4
"""The newest protocol that the viewer's own unpickler reads."""
# The viewer needs this category to exist if there are any.
NO_CATEGORY = "unknown"

Frames = list[dict[str, Any]]


def dump_snapshot(timeline: Timeline) -> bytes:
    """Return the timeline's snapshot, pickled."""
    return pickle.dumps(snapshot_of(timeline), protocol=PROTOCOL)


def snapshot_of(timeline: Timeline) -> dict[str, Any]:
    """Return the snapshot: the whole trace from the first weight on, and the segments at its end.

    ``time_us`` counts events: the twin has no clock. Sizes in the trace are those asked for, as in PyTorch's.
    """
    writer = _Writer(timeline)
    trace = [*writer.entries()]
    return {
        "segments": [writer.segment(segment) for segment in timeline.segments],
        "device_traces": [trace],
        "allocator_settings": _settings(timeline.settings),
        "external_annotations": [*writer.annotations()],
    }


class _Writer:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        addresses = [segment.address for segment in timeline.segments]
        addresses += [event.address for event in timeline.segment_events]
        self._shift = LOWEST_ADDRESS - min(addresses, default=0)
        # Equal frames are one object, which a pickle holds once.
        self._frames = cache(_frames)
        self._living: dict[int, Frames] = {}

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of the trace."""
        segments = list(reversed(self._timeline.segment_events))
        for time, event in enumerate(self._timeline.events):
            while segments and segments[-1].before <= time:
                yield self._of_segment(segments.pop(), time)
            if event.block_bytes:
                yield from self._of_block(event, time)
        end = len(self._timeline.events)
        for segment in reversed(segments):
            yield self._of_segment(segment, end)
        if self._timeline.out_of_memory is not None:
            yield self._of_failure(self._timeline.out_of_memory, end)

    def annotations(self) -> Iterator[dict[str, Any]]:
        """Yield the start and the end of every phase."""
        for span in self._timeline.spans:
            for stage, time in (("START", span.start), ("END", span.end)):
                name = f"step {span.step} {span.phase}"
                yield {"name": name, "stage": stage, "device": DEVICE, "time_us": time}

    def segment(self, segment: SegmentState) -> dict[str, Any]:
        """Return a segment with its blocks; call it after `entries`, which collects live blocks' frames."""
        used = [block for block in segment.blocks if block.allocated]
        allocated = sum(block.size for block in used)
        return {
            "device": DEVICE,
            "address": segment.address + self._shift,
            "total_size": segment.total_bytes,
            "allocated_size": allocated,
            "active_size": allocated,
            "requested_size": sum(block.requested_bytes for block in used),
            "stream": STREAM,
            "segment_type": "small" if segment.is_small_pool else "large",
            "segment_pool_id": POOL,
            "is_expandable": self._timeline.settings.expandable_segments,
            "frames": [],
            "blocks": [self._block(block) for block in segment.blocks],
        }

    def _block(self, block: BlockState) -> dict[str, Any]:
        return {
            "address": block.address + self._shift,
            "size": block.size,
            # A free block remembers its last request, which may have been larger than what is left of it.
            "requested_size": block.requested_bytes if block.allocated else 0,
            "state": "active_allocated" if block.allocated else "inactive",
            "frames": self._living[block.address] if block.allocated else [],
        }

    def _of_block(self, event: AllocationEvent, time: int) -> Iterator[dict[str, Any]]:
        frames = self._frames(event.place)
        if event.kind == "alloc":
            self._living[event.address] = frames
        category = self._timeline.kinds[event.allocation]
        # One stream: what is asked to be freed is free at once.
        actions = ("alloc",) if event.kind == "alloc" else ("free_requested", "free_completed")
        for action in actions:
            entry = _entry(action, event.requested_bytes, time, frames, category)
            yield entry | {"addr": event.address + self._shift}

    def _of_segment(self, event: SegmentEvent, time: int) -> dict[str, Any]:
        entry = _entry(event.action, event.size_bytes, time, self._frames(event.place), NO_CATEGORY)
        return entry | {"addr": event.address + self._shift}

    def _of_failure(self, failure: OutOfMemory, time: int) -> dict[str, Any]:
        error = failure.error
        left = (error.capacity_bytes or 0) - error.reserved_bytes
        entry = _entry("oom", error.requested_bytes, time, self._frames(failure.place), NO_CATEGORY)
        return entry | {"device_free": max(left, 0)}


def _entry(action: str, size: int, time: int, frames: Frames, category: str) -> dict[str, Any]:
    return {
        "action": action,
        "size": size,
        "stream": STREAM,
        "time_us": time,
        "pool_id": POOL,
        "frames": frames,
        "category": category,
    }


def _frames(place: Place) -> Frames:
    """Return the frames of a place: the user's own line, if any; operation and module; phase and step."""
    users, _, models = place.line.partition(" → ")
    file, _, number = users.rpartition(":")
    own = [{"name": models or "(own code)", "filename": file, "line": int(number)}] if users else []
    phase = f"step {place.step}" if place.step else "before the first step"
    return [
        *own,
        {"name": place.operation or "(none)", "filename": place.module or "(model)", "line": 0},
        {"name": place.phase, "filename": phase, "line": 0},
    ]


def _settings(settings: AllocatorSettings) -> dict[str, Any]:
    return {
        "expandable_segments": settings.expandable_segments,
        "max_split_size": -1 if settings.max_split_size_bytes is None else settings.max_split_size_bytes,
        "large_segment_size": settings.large_segment_size_bytes,
    }
