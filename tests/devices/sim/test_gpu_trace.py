"""The allocator's model against a real GPU's: the same requests, and every block at the same address."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import (
    AllocatorSettings,
    Block,
    CachingAllocator,
    SimOutOfMemoryError,
)

H200 = GPUS["h200"]
TRACES = sorted((Path(__file__).parent / "data" / "gpu_traces").glob("*.json.xz"))
FEWEST_EVENTS = 100_000
COUNTERS = ("allocated", "requested", "active", "reserved")


def loaded(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(lzma.decompress(file.read_bytes()))
    assert data["gpu"] == "NVIDIA H200"
    return data


class Replay:
    """A trace's requests, answered by the model.

    The driver chooses where segments lie: the model is told, and what it puts into them is its own. An
    expandable segment lies somewhere in a range that the trace does not name: there the distance from the
    pool's first block counts.
    """

    def __init__(self, data: dict[str, Any]) -> None:
        settings = AllocatorSettings.parse(data["settings"])
        new = [address for code, address, _ in data["events"] if code == "S"]
        self._expandable = settings.expandable_segments
        self._limited = data["capacity_bytes"] is not None
        capacity = data["capacity_bytes"]
        if self._limited and self._expandable:
            # The driver took some of what was free: the most that the allocator had is what it could get.
            capacity = data["stats"]["reserved_bytes.peak"]
        addresses = () if self._expandable else new
        self.allocator = CachingAllocator(capacity, settings, addresses, H200.memory_bytes)
        self._live: dict[int, Block] = {}
        self._shift: dict[bool, int] = {}

    def run(self, events: list[tuple[str, int, int]]) -> int:
        """Replay all `events`; returns how many requests and frees there were."""
        requests = 0
        before = ""
        for number, (code, address, size) in enumerate(events):
            requests += code in "af"
            if code == "a":
                self._alloc(number, address, size)
            elif code == "f":
                self.allocator.free(self._live.pop(address))
            elif code == "o":
                with pytest.raises(SimOutOfMemoryError):
                    self.allocator.malloc(size)
            elif code == "s" and before != "s" and not self._limited:
                self.allocator.empty_cache()  # under a limit segments go where a request needs their room
            before = code
        return requests

    def _alloc(self, number: int, address: int, size: int) -> None:
        block = self.allocator.malloc(size)
        assert block.pool is not None
        shift = 0
        if self._expandable:
            shift = self._shift.setdefault(block.pool.is_small, address - block.address)
        assert block.address + shift == address, f"event {number}: {size:,} bytes"
        self._live[address] = block


def test_there_are_traces() -> None:
    events = [event for file in TRACES for event in loaded(file)["events"] if event[0] in "af"]
    assert len(events) >= FEWEST_EVENTS


@pytest.mark.parametrize("file", TRACES, ids=lambda file: file.name.split(".")[0])
def test_every_block_lies_where_the_gpu_put_it(file: Path) -> None:
    data = loaded(file)
    replay = Replay(data)
    replay.run(data["events"])
    allocator, stats = replay.allocator, data["stats"]
    for name in COUNTERS:
        counter = getattr(allocator, name)
        assert counter.current == stats[f"{name}_bytes.current"], name
        assert counter.peak == stats[f"{name}_bytes.peak"], name
    assert allocator.num_alloc_retries == stats["num_alloc_retries"]
    assert allocator.num_ooms == stats["num_ooms"]
