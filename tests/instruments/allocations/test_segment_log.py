from __future__ import annotations

import pytest

from lorafa_prof.devices.sim.allocator import AllocatorSettings, CachingAllocator, SimOutOfMemoryError
from lorafa_prof.instruments.allocations.log import Place
from lorafa_prof.instruments.allocations.segment_log import SegmentLog, _without

MIB = 2**20
NOWHERE = Place(0, "build", "", "")


def malloc(allocator: CachingAllocator, log: SegmentLog, size: int, before: int = 0):
    block = allocator.malloc(size)
    log.look(block.address, before, NOWHERE)
    return block


def told(log: SegmentLog) -> list[tuple[str, int]]:
    return [(event.action, event.size_bytes) for event in log.events]


def test_a_segment_is_told_once_with_where_it_came() -> None:
    allocator = CachingAllocator()
    log = SegmentLog(allocator)
    first = malloc(allocator, log, 100, before=7)
    malloc(allocator, log, 100, before=8)
    malloc(allocator, log, 30 * MIB, before=9)
    assert told(log) == [("segment_alloc", 2 * MIB), ("segment_alloc", 30 * MIB)]
    assert [(event.before, event.place) for event in log.events] == [(7, NOWHERE), (9, NOWHERE)]
    assert log.events[0].address == first.address


def test_what_goes_back_for_a_request_comes_before_what_serves_it() -> None:
    allocator = CachingAllocator(64 * MIB)
    log = SegmentLog(allocator)
    allocator.free(malloc(allocator, log, 40 * MIB))
    malloc(allocator, log, 50 * MIB)
    assert told(log)[1:] == [("segment_free", 40 * MIB), ("segment_alloc", 50 * MIB)]


def test_an_exchange_that_leaves_the_sum_as_it_was_is_seen() -> None:
    allocator = CachingAllocator(64 * MIB, AllocatorSettings(max_split_size_bytes=30 * MIB))
    log = SegmentLog(allocator)
    blocks = [malloc(allocator, log, 30 * MIB) for _ in range(2)]
    for block in blocks:
        allocator.free(block)
    malloc(allocator, log, 60 * MIB)
    assert allocator.reserved.current == 60 * MIB
    assert allocator.num_alloc_retries == 0
    assert told(log)[2:] == [("segment_free", 30 * MIB)] * 2 + [("segment_alloc", 60 * MIB)]


def test_an_exchange_of_pages_is_seen() -> None:
    allocator = CachingAllocator(60 * MIB, AllocatorSettings(expandable_segments=True))
    log = SegmentLog(allocator)
    first, _, last = (malloc(allocator, log, 20 * MIB) for _ in range(3))
    allocator.free(first)
    allocator.free(last)
    grown = malloc(allocator, log, 40 * MIB)
    assert allocator.reserved.current == 60 * MIB
    assert grown.address == last.address  # in a stretch that is known
    assert told(log)[3:] == [("segment_unmap", 20 * MIB), ("segment_map", 20 * MIB)]


def test_a_request_that_fails_tells_what_it_gave_back() -> None:
    allocator = CachingAllocator(64 * MIB)
    log = SegmentLog(allocator)
    allocator.free(malloc(allocator, log, 40 * MIB))
    with pytest.raises(SimOutOfMemoryError):
        allocator.malloc(80 * MIB)
    log.look(None, 1, NOWHERE)
    assert told(log) == [("segment_alloc", 40 * MIB), ("segment_free", 40 * MIB)]


def test_expandable_segments_are_mapped_and_unmapped() -> None:
    allocator = CachingAllocator(100 * MIB, AllocatorSettings(expandable_segments=True))
    log = SegmentLog(allocator)
    malloc(allocator, log, 30 * MIB)
    above = malloc(allocator, log, 30 * MIB)
    assert told(log) == [("segment_map", 40 * MIB), ("segment_map", 20 * MIB)]
    assert log.events[1].address == log.events[0].address + 40 * MIB
    allocator.free(above)
    allocator.empty_cache()
    malloc(allocator, log, 100)
    assert ("segment_unmap", 20 * MIB) in told(log)
    assert ("segment_map", 2 * MIB) in told(log)


def test_cutting_stretches() -> None:
    assert list(_without([(0, 10)], [(2, 4), (6, 7)])) == [(0, 2), (4, 6), (7, 10)]
    assert list(_without([(0, 10), (20, 30)], [(5, 25)])) == [(0, 5), (25, 30)]
    assert list(_without([(0, 10)], [(0, 10)])) == []
    assert list(_without([(0, 10)], [(10, 20)])) == [(0, 10)]
