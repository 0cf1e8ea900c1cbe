"""The allocator model against examples worked out from CUDACachingAllocator.cpp, and its invariants."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafa_prof.devices.sim.allocator import (
    AllocatorSettings,
    Block,
    CachingAllocator,
    Segment,
    SimOutOfMemoryError,
)
from lorafa_prof.devices.sim.memory import DeviceMemory
from lorafa_prof.devices.sim.out_of_memory import format_size
from lorafa_prof.errors import UsageError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
EXPANDABLE = AllocatorSettings(expandable_segments=True)


def sizes(segment: Segment) -> list[int]:
    return [block.size for block in segment.blocks]


def only(allocator: CachingAllocator) -> Segment:
    (segment,) = allocator.segments()
    return segment


class TestRounding:
    @pytest.mark.parametrize(
        ("requested", "size"), [(1, 512), (511, 512), (512, 512), (513, 1024), (1000, 1024), (MIB, MIB)]
    )
    def test_sizes_are_multiples_of_512(self, requested: int, size: int) -> None:
        allocator = CachingAllocator()
        block = allocator.malloc(requested)
        assert (block.size, block.requested_bytes) == (size, requested)
        assert (allocator.allocated.current, allocator.requested.current) == (size, requested)

    def test_no_bytes_take_nothing_and_count_nowhere(self) -> None:
        allocator = CachingAllocator(0)
        block = allocator.malloc(0)
        allocator.free(block)
        allocator.free(block)
        assert (block.address, block.size) == (0, 0)
        assert allocator.reserved.peak == allocator.allocated.peak == 0
        assert list(allocator.segments()) == []

    def test_negative_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="-1 bytes"):
            CachingAllocator().malloc(-1)


class TestSegments:
    @pytest.mark.parametrize(
        ("requested", "reserved"),
        [
            (1, 2 * MIB),
            (MIB, 2 * MIB),  # The largest request of the small pool.
            (MIB + 1, 20 * MIB),
            (10 * MIB - 1024, 20 * MIB),
            (10 * MIB - 1, 10 * MIB),  # Rounds up to 10 MiB, which is no longer less than kMinLargeAlloc.
            (10 * MIB, 10 * MIB),
            (10 * MIB + 1, 12 * MIB),
            (30 * MIB + 512, 32 * MIB),
        ],
    )
    def test_a_new_segment(self, requested: int, reserved: int) -> None:
        allocator = CachingAllocator()
        allocator.malloc(requested)
        assert allocator.reserved.current == reserved
        assert only(allocator).is_small_pool is (requested <= MIB)

    def test_small_blocks_share_a_segment_down_to_the_last_512_bytes(self) -> None:
        allocator = CachingAllocator()
        allocator.malloc(MIB)
        allocator.malloc(MIB - 512)
        assert sizes(only(allocator)) == [MIB, MIB - 512, 512]
        allocator.malloc(1)
        assert sizes(only(allocator)) == [MIB, MIB - 512, 512]
        allocator.malloc(1)
        assert allocator.reserved.current == 4 * MIB

    def test_large_rest_of_one_mib_stays_with_the_block_and_counts_as_allocated(self) -> None:
        allocator = CachingAllocator()
        block = allocator.malloc(11 * MIB)  # A segment of 12 MiB, the rest is 1 MiB.
        assert block.size == allocator.allocated.current == allocator.active.current == 12 * MIB
        assert allocator.requested.current == 11 * MIB

    def test_large_rest_of_more_than_one_mib_is_split_off(self) -> None:
        allocator = CachingAllocator()
        block = allocator.malloc(11 * MIB - 512)
        assert block.size == allocator.allocated.current == 11 * MIB - 512
        assert sizes(only(allocator)) == [11 * MIB - 512, MIB + 512]

    def test_pools_do_not_lend_to_each_other(self) -> None:
        allocator = CachingAllocator()
        allocator.free(allocator.malloc(5 * MIB))
        allocator.malloc(MIB)
        assert allocator.reserved.current == 22 * MIB

    def test_addresses_fall_by_stretches_of_32_mib_and_fill_the_lowest_gap_first(self) -> None:
        memory = DeviceMemory(None)
        first = memory.new_addresses(20 * MIB)
        offsets = [(memory.new_addresses(size * MIB) - first) // MIB for size in (2, 40, 2, 20, 10, 1, 2, 32)]
        assert first % (32 * MIB) == 0
        # The 40 MiB open 64 below the first 32; 2 and 20 go on top of them, 10 no longer fit, 1 takes 2.
        assert offsets == [20, -64, -24, -22, 22, -2, -96, -128]


class TestReuse:
    def test_a_freed_segment_is_kept_and_used_again(self) -> None:
        allocator = CachingAllocator()
        first = allocator.malloc(64 * MIB)
        allocator.free(first)
        assert (allocator.allocated.current, allocator.reserved.current) == (0, 64 * MIB)
        assert allocator.malloc(64 * MIB).address == first.address
        assert allocator.reserved.current == 64 * MIB

    def test_best_fit_takes_the_smallest_that_is_large_enough(self) -> None:
        allocator = CachingAllocator()
        blocks = [allocator.malloc(size * MIB) for size in (40, 20, 30)]
        addresses = [block.address for block in blocks]
        for block in blocks:
            allocator.free(block)
        assert allocator.malloc(25 * MIB).address == addresses[2]

    def test_among_equals_the_lowest_address(self) -> None:
        allocator = CachingAllocator()
        blocks = [allocator.malloc(12 * MIB) for _ in range(5)]
        addresses = [block.address for block in blocks]
        for index in (2, 0, 4, 1, 3):
            allocator.free(blocks[index])
        assert [allocator.malloc(12 * MIB).address for _ in range(5)] == sorted(addresses)

    def test_blocks_merge_with_both_neighbours(self) -> None:
        allocator = CachingAllocator()
        below, middle, above = (allocator.malloc(256 * KIB) for _ in range(3))
        allocator.free(below)
        assert sizes(only(allocator)) == [256 * KIB] * 3 + [1280 * KIB]
        allocator.free(above)
        assert sizes(only(allocator)) == [256 * KIB] * 2 + [1536 * KIB]
        allocator.free(middle)
        assert sizes(only(allocator)) == [2 * MIB]

    def test_segments_do_not_merge(self) -> None:
        allocator = CachingAllocator()
        blocks = [allocator.malloc(12 * MIB) for _ in range(2)]
        for block in blocks:
            allocator.free(block)
        assert [segment.total_bytes for segment in allocator.segments()] == [12 * MIB, 12 * MIB]

    @pytest.mark.parametrize("expandable", [False, True])
    def test_a_block_is_freed_once(self, expandable: bool) -> None:
        allocator = CachingAllocator(settings=AllocatorSettings(expandable_segments=expandable))
        block = allocator.malloc(100)
        allocator.free(block)
        with pytest.raises(ValueError, match="not in use"):
            allocator.free(block)

    def test_a_block_of_another_allocator_is_refused(self) -> None:
        block = CachingAllocator().malloc(100)
        with pytest.raises(ValueError, match="not in use"):
            CachingAllocator().free(block)


class TestCounters:
    def test_peaks_stay_until_reset(self) -> None:
        allocator = CachingAllocator()
        block = allocator.malloc(11 * MIB)
        allocator.free(block)
        allocator.empty_cache()
        counters = (allocator.allocated, allocator.active, allocator.requested, allocator.reserved)
        assert [counter.peak for counter in counters] == [12 * MIB, 12 * MIB, 11 * MIB, 12 * MIB]
        assert [counter.current for counter in counters] == [0, 0, 0, 0]
        allocator.malloc(100)
        allocator.reset_peaks()
        assert [counter.peak for counter in counters] == [512, 512, 100, 2 * MIB]
        assert [counter.current for counter in counters] == [512, 512, 100, 2 * MIB]

    def test_freed_blocks_keep_the_last_requested_size(self) -> None:
        allocator = CachingAllocator()
        allocator.free(allocator.malloc(12 * MIB - 7))
        (block,) = only(allocator).blocks
        assert (block.state, block.requested_bytes) == ("inactive", 12 * MIB - 7)

    def test_segments_name_the_state_of_each_block(self) -> None:
        allocator = CachingAllocator()
        first, _ = allocator.malloc(700), allocator.malloc(512)
        allocator.free(first)
        segment = only(allocator)
        assert [(block.state, block.size) for block in segment.blocks] == [
            ("inactive", 1024),
            ("active_allocated", 512),
            ("inactive", 2 * MIB - 1536),
        ]
        assert segment.address == first.address


class TestRelease:
    def test_empty_cache_returns_whole_segments_only(self) -> None:
        allocator = CachingAllocator()
        allocator.free(allocator.malloc(64 * MIB))
        kept = allocator.malloc(5 * MIB)
        allocator.free(allocator.malloc(300))
        assert allocator.reserved.current == 66 * MIB  # The 5 MiB came out of the cached 64.
        allocator.empty_cache()
        assert allocator.reserved.current == 64 * MIB
        allocator.free(kept)
        allocator.empty_cache()
        assert allocator.reserved.current == 0

    def test_cached_segments_are_given_back_before_out_of_memory(self) -> None:
        allocator = CachingAllocator(100 * MIB)
        for block in [allocator.malloc(40 * MIB), allocator.malloc(40 * MIB)]:
            allocator.free(block)
        allocator.malloc(60 * MIB)
        assert allocator.num_alloc_retries == 1
        assert allocator.num_ooms == 0
        assert (allocator.reserved.current, allocator.reserved.peak) == (60 * MIB, 80 * MIB)

    def test_out_of_memory(self) -> None:
        allocator = CachingAllocator(100 * MIB)
        allocator.malloc(5 * MIB)
        allocator.free(allocator.malloc(30 * MIB))
        with pytest.raises(SimOutOfMemoryError) as caught:
            allocator.malloc(81 * MIB)
        error = caught.value
        assert (allocator.num_alloc_retries, allocator.num_ooms) == (1, 1)
        assert (error.requested_bytes, error.capacity_bytes) == (81 * MIB, 100 * MIB)
        assert (error.allocated_bytes, error.reserved_bytes) == (5 * MIB, 20 * MIB)
        assert str(error) == (
            "CUDA out of memory. Tried to allocate 82.00 MiB. GPU 0 has a total capacity of 100.00 MiB of "
            "which 80.00 MiB is free. Of the allocated memory 5.00 MiB is allocated by PyTorch, and "
            "15.00 MiB is reserved by PyTorch but unallocated."
        )
        assert allocator.malloc(80 * MIB).size == 80 * MIB

    def test_one_byte_too_much(self) -> None:
        assert CachingAllocator(20 * MIB).malloc(2 * MIB).size == 2 * MIB
        with pytest.raises(SimOutOfMemoryError, match=r"Tried to allocate 20\.00 MiB"):
            CachingAllocator(20 * MIB - 1).malloc(2 * MIB)

    def test_an_exbibyte_is_refused_even_without_a_limit(self) -> None:
        allocator = CachingAllocator()
        with pytest.raises(SimOutOfMemoryError, match="more than 1EB"):
            allocator.malloc(1 << 60)
        assert allocator.num_ooms == 0

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (512, "512 bytes"),
            (1024, "1024 bytes"),
            (1536, "1.50 KiB"),
            (MIB, "1024.00 KiB"),
            (2 * GIB, "2.00 GiB"),
        ],
    )
    def test_sizes_as_pytorch_writes_them(self, size: int, text: str) -> None:
        assert format_size(size) == text


class TestPrivatePools:
    """PrivatePool: what CUDA graphs have to themselves (Note [Interaction with CUDA graph capture])."""

    def test_a_capture_takes_no_block_that_is_free_for_others(self) -> None:
        allocator = CachingAllocator()
        allocator.free(allocator.malloc(4 * MIB))
        with allocator.capturing(allocator.private_pool()):
            allocator.malloc(4 * MIB)
        assert allocator.reserved.current == 2 * 20 * MIB

    def test_what_is_freed_in_a_pool_is_there_for_its_next_capture_and_for_nobody_else(self) -> None:
        allocator = CachingAllocator()
        pool = allocator.private_pool()
        with allocator.capturing(pool):
            block = allocator.malloc(4 * MIB)
        address = block.address
        allocator.free(block)
        assert allocator.malloc(4 * MIB).address != address
        with allocator.capturing(pool):
            assert allocator.malloc(4 * MIB).address == address
        assert allocator.reserved.current == 2 * 20 * MIB

    def test_graphs_keep_their_pool_when_the_cache_is_given_back(self) -> None:
        allocator = CachingAllocator()
        allocator.free(allocator.malloc(4 * MIB))
        with allocator.capturing(allocator.private_pool()):
            allocator.free(allocator.malloc(KIB))
        allocator.empty_cache()
        assert allocator.reserved.current == 2 * MIB
        assert only(allocator).is_small_pool
        assert sizes(only(allocator)) == [2 * MIB]

    def test_no_cache_is_given_back_for_a_capture(self) -> None:
        allocator = CachingAllocator(40 * MIB)
        allocator.free(allocator.malloc(30 * MIB))
        with allocator.capturing(allocator.private_pool()), pytest.raises(SimOutOfMemoryError):
            allocator.malloc(30 * MIB)
        allocator.malloc(40 * MIB)
        assert (allocator.num_alloc_retries, allocator.num_ooms) == (1, 1)


class TestMaxSplitSize:
    SETTINGS = AllocatorSettings(max_split_size_bytes=32 * MIB)

    def test_a_block_of_that_size_is_neither_split_nor_lent_to_less(self) -> None:
        allocator = CachingAllocator(settings=self.SETTINGS)
        large = allocator.malloc(64 * MIB)
        allocator.free(large)
        assert allocator.malloc(31 * MIB).address != large.address
        assert allocator.reserved.current == 96 * MIB
        block = allocator.malloc(60 * MIB)
        assert (block.address, block.size) == (large.address, 64 * MIB)

    def test_the_best_fit_may_exceed_by_less_than_the_allowance(self) -> None:
        allocator = CachingAllocator(settings=self.SETTINGS)
        large = allocator.malloc(64 * MIB)
        allocator.free(large)
        allocator.free(allocator.malloc(44 * MIB))  # 20 MiB smaller: gets its own segment.
        assert allocator.reserved.current == 108 * MIB
        assert allocator.malloc(44 * MIB + 512).address == large.address

    def test_at_that_size_exactly_a_request_is_oversize(self) -> None:
        allocator = CachingAllocator(settings=self.SETTINGS)
        allocator.free(allocator.malloc(64 * MIB))
        allocator.malloc(32 * MIB)
        assert allocator.reserved.current == 96 * MIB
        allocator.free(allocator.malloc(40 * MIB))
        assert allocator.malloc(32 * MIB).size == 40 * MIB

    def test_the_allowance_can_be_set(self) -> None:
        settings = AllocatorSettings(max_split_size_bytes=32 * MIB, max_non_split_rounding_bytes=24 * MIB)
        allocator = CachingAllocator(settings=settings)
        allocator.free(allocator.malloc(64 * MIB))
        allocator.malloc(40 * MIB + 512)
        assert allocator.reserved.current == 64 * MIB

    def test_a_request_of_that_size_keeps_the_whole_block(self) -> None:
        allocator = CachingAllocator(settings=AllocatorSettings(max_split_size_bytes=21 * MIB))
        assert allocator.malloc(20 * MIB + 512).size == 20 * MIB + 512  # Of 22 MiB.
        assert allocator.malloc(23 * MIB - 512).size == 24 * MIB

    def test_a_wholly_free_buffer_of_that_size_serves_no_small_request_again(self) -> None:
        allocator = CachingAllocator(settings=AllocatorSettings(max_split_size_bytes=20 * MIB))
        allocator.free(allocator.malloc(5 * MIB))
        allocator.malloc(5 * MIB)
        assert allocator.reserved.current == 40 * MIB

    def test_one_sufficient_block_is_given_back_and_the_rest_stays(self) -> None:
        allocator = CachingAllocator(130 * MIB, self.SETTINGS)
        for block in [allocator.malloc(64 * MIB), allocator.malloc(40 * MIB)]:
            allocator.free(block)
        allocator.malloc(31 * MIB)  # Wants 32 MiB, the 40 MiB block suffices.
        assert allocator.reserved.current == 96 * MIB
        assert allocator.num_alloc_retries == 0

    def test_several_blocks_are_given_back_largest_first(self) -> None:
        allocator = CachingAllocator(140 * MIB, self.SETTINGS)
        for block in [allocator.malloc(size * MIB) for size in (40, 34, 36, 10)]:
            allocator.free(block)
        allocator.malloc(70 * MIB)  # 40 and 36 go.
        assert allocator.reserved.current == (34 + 10 + 70) * MIB
        assert allocator.num_alloc_retries == 0

    def test_too_few_such_blocks_lead_to_a_retry(self) -> None:
        allocator = CachingAllocator(100 * MIB, self.SETTINGS)
        for block in [allocator.malloc(size * MIB) for size in (40, 30)]:
            allocator.free(block)
        allocator.malloc(66 * MIB)  # Only the 40 MiB block counts.
        assert allocator.reserved.current == 66 * MIB
        assert allocator.num_alloc_retries == 1

    def test_unset_nothing_is_given_back_singly(self) -> None:
        allocator = CachingAllocator(110 * MIB)
        for block in [allocator.malloc(64 * MIB), allocator.malloc(40 * MIB)]:
            allocator.free(block)
        allocator.malloc(66 * MIB)
        assert allocator.reserved.current == 66 * MIB
        assert allocator.num_alloc_retries == 1


class TestExpandableSegments:
    def test_pages_are_mapped_as_needed(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        allocator.malloc(1)
        assert allocator.reserved.current == 2 * MIB
        allocator.malloc(21 * MIB)
        assert allocator.reserved.current == 42 * MIB
        allocator.malloc(19 * MIB)  # Fits on the second page of 20 MiB to the byte.
        assert allocator.reserved.current == 42 * MIB
        allocator.malloc(2 * MIB)
        assert allocator.reserved.current == 62 * MIB

    def test_one_segment_a_pool_with_a_snapshot_entry_each(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        for size in (1, 30 * MIB, MIB, MIB, 30 * MIB):
            allocator.malloc(size)
        found = {segment.is_small_pool: segment for segment in allocator.segments()}
        assert found[True].total_bytes == 4 * MIB
        assert sizes(found[False]) == [30 * MIB, 30 * MIB]

    def test_large_blocks_split_from_512_bytes_on(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        allocator.malloc(20 * MIB - 512)
        assert sizes(only(allocator)) == [20 * MIB - 512, 512]
        assert allocator.allocated.current == 20 * MIB - 512

    def test_free_memory_at_the_end_grows_to_fit(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        kept = allocator.malloc(5 * MIB)
        allocator.free(allocator.malloc(10 * MIB))
        block = allocator.malloc(32 * MIB)
        assert block.address == kept.address + 5 * MIB
        assert allocator.reserved.current == 40 * MIB

    def test_best_fit_counts_the_end_as_large_as_it_can_grow(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        hole = allocator.malloc(12 * MIB)
        address = hole.address
        allocator.malloc(2 * MIB)  # Leaves 6 MiB at the end of the mapped page.
        allocator.free(hole)
        assert allocator.malloc(6 * MIB).address == address

    def test_a_larger_hole_above_is_left_when_the_smaller_is_no_end(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(size * MIB) for size in (8, 2, 6, 4)]
        address = blocks[2].address
        allocator.free(blocks[0])
        allocator.free(blocks[2])
        assert allocator.malloc(5 * MIB).address == address

    def test_empty_cache_unmaps_whole_free_pages_only(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(size * MIB) for size in (10, 70, 10)]
        assert allocator.reserved.current == 100 * MIB
        allocator.free(blocks[1])  # Bytes 10 to 80 MiB and the free end, 90 to 100.
        allocator.empty_cache()
        assert allocator.reserved.current == 40 * MIB  # Pages 0 to 20 and 80 to 100 remain.
        assert [sizes(segment) for segment in allocator.segments()] == [
            [10 * MIB, 10 * MIB],
            [10 * MIB, 10 * MIB],
        ]
        refilled = allocator.malloc(65 * MIB)
        assert refilled.address == blocks[0].address + 10 * MIB
        assert allocator.reserved.current == 100 * MIB

    def test_of_equal_holes_the_lower_is_taken(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(size * MIB) for size in (6, 2, 6, 2)]
        address = blocks[0].address
        allocator.free(blocks[0])
        allocator.free(blocks[2])
        assert allocator.malloc(6 * MIB).address == address

    def test_mapping_joins_the_free_memory_below_and_above(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(size * MIB) for size in (10, 75, 5)]
        allocator.free(blocks[1])
        allocator.empty_cache()  # Of 10 to 85 MiB the pages from 20 to 80 go.
        assert allocator.reserved.current == 40 * MIB
        assert allocator.malloc(75 * MIB).address == blocks[0].address + 10 * MIB
        assert allocator.reserved.current == 100 * MIB

    def test_a_block_may_span_unmapped_free_and_unmapped_memory(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(20 * MIB) for _ in range(3)]
        address = blocks[0].address
        allocator.free(blocks[1])
        allocator.empty_cache()
        allocator.free(blocks[0])
        allocator.free(blocks[2])
        assert allocator.malloc(80 * MIB).address == address
        assert allocator.reserved.current == 80 * MIB

    def test_an_unmapped_start_is_mapped_only_as_far_as_it_goes(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(20 * MIB) for _ in range(2)]
        address = blocks[0].address
        allocator.free(blocks[0])
        allocator.empty_cache()
        allocator.free(blocks[1])
        assert allocator.malloc(60 * MIB).address == address
        assert allocator.reserved.current == 60 * MIB

    @pytest.mark.parametrize("order", [(1, 2), (2, 1)])
    def test_unmapped_neighbours_are_one(self, order: tuple[int, int]) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        blocks = [allocator.malloc(20 * MIB) for _ in range(4)]
        for index in order:
            allocator.free(blocks[index])
            allocator.empty_cache()
        check(allocator, [blocks[0], blocks[3]], None)
        assert allocator._pools[0, 0, False].unmapped[0].size == 40 * MIB

    def test_the_addresses_are_one_and_one_eighth_of_the_device(self) -> None:
        assert DeviceMemory(160 * MIB).expandable_addresses == 180 * MIB

    def test_an_empty_segment_is_forgotten(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        block = allocator.malloc(30 * MIB)
        address = block.address
        allocator.free(block)
        allocator.empty_cache()
        assert allocator.reserved.current == 0
        assert list(allocator.segments()) == []
        assert allocator.malloc(30 * MIB).address != address

    def test_free_pages_are_given_back_before_out_of_memory(self) -> None:
        allocator = CachingAllocator(79 * MIB, EXPANDABLE)
        for block in [allocator.malloc(MIB) for _ in range(20)]:
            allocator.free(block)
        allocator.malloc(40 * MIB)
        assert (allocator.reserved.current, allocator.num_alloc_retries) == (60 * MIB, 0)
        allocator.malloc(2 * MIB)  # Another 20 MiB page is 1 MiB too much.
        assert (allocator.reserved.current, allocator.num_alloc_retries) == (60 * MIB, 1)
        with pytest.raises(SimOutOfMemoryError, match=r"Tried to allocate 20\.00 MiB"):
            allocator.malloc(18 * MIB + 512)
        assert (allocator.num_alloc_retries, allocator.num_ooms) == (2, 1)

    def test_what_was_mapped_before_memory_ran_out_stays_until_the_retry_returns_it(self) -> None:
        allocator = CachingAllocator(100 * MIB, EXPANDABLE)
        blocks = [allocator.malloc(20 * MIB) for _ in range(5)]
        for index in (1, 3):
            allocator.free(blocks[index])
        allocator.empty_cache()
        assert allocator.reserved.current == 60 * MIB
        with pytest.raises(SimOutOfMemoryError):
            allocator.malloc(60 * MIB)
        assert allocator.reserved.current == 60 * MIB
        assert allocator.malloc(40 * MIB).size == 40 * MIB

    def test_without_a_limit_any_size_can_be_had_again_and_again(self) -> None:
        allocator = CachingAllocator(settings=EXPANDABLE)
        for _ in range(100):
            block = allocator.malloc(1 << 50)
            allocator.malloc(3)
            allocator.free(block)
            allocator.empty_cache()
        assert allocator.reserved.current == 2 * MIB

    def test_the_page_of_the_large_pool_can_be_set(self) -> None:
        settings = AllocatorSettings(expandable_segments=True, large_segment_size_bytes=12 * MIB)
        allocator = CachingAllocator(settings=settings)
        allocator.malloc(13 * MIB)
        assert allocator.reserved.current == 24 * MIB


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "settings"),
        [
            ("", AllocatorSettings()),
            ("expandable_segments:True", EXPANDABLE),
            ("expandable_segments:False,", AllocatorSettings()),
            ("max_split_size_mb: 128", AllocatorSettings(max_split_size_bytes=128 * MIB)),
            (
                " expandable_segments : True , max_split_size_mb:20",
                AllocatorSettings(expandable_segments=True, max_split_size_bytes=20 * MIB),
            ),
            (
                "max_non_split_rounding_mb:12,large_segment_size_mb:11,max_split_size_mb:11",
                AllocatorSettings(
                    max_split_size_bytes=11 * MIB,
                    large_segment_size_bytes=11 * MIB,
                    max_non_split_rounding_bytes=12 * MIB,
                ),
            ),
            ("backend:native,pinned_use_background_threads:True", AllocatorSettings()),
            ("max_split_size_mb:50,max_split_size_mb:60", AllocatorSettings(max_split_size_bytes=60 * MIB)),
        ],
    )
    def test_parse(self, text: str, settings: AllocatorSettings) -> None:
        assert AllocatorSettings.parse(text) == settings

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("max_split_size_mb:19", "max_split_size_mb too small, must be >= 20"),
            ("max_split_size_mb:11,large_segment_size_mb:12", "must be >= 12"),
            ("max_non_split_rounding_mb:1", "max_non_split_rounding_mb too small"),
            ("large_segment_size_mb:10", "must be greater than 10"),
            ("max_split_size_mb:many", "whole number of MiB, got 'many'"),
            ("expandable_segments:true", "expected True or False, got 'true'"),
            ("expandable_segments", "expected key:value, got 'expandable_segments'"),
            ("max_split_size_mb:32,,expandable_segments:True", "expected key:value, got ''"),
            (
                "garbage_collection_threshold:0.8",
                "garbage_collection_threshold:0.8 is unknown or not modelled",
            ),
            ("roundup_power2_divisions:[256:1,512:2]", "roundup_power2_divisions with a list"),
            ("backend:cudaMallocAsync", "backend:cudaMallocAsync is unknown"),
            ("colour:blue", "colour:blue is unknown"),
        ],
    )
    def test_what_is_not_understood_is_one_clear_line(self, text: str, told: str) -> None:
        with pytest.raises(UsageError) as caught:
            AllocatorSettings.parse(text)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)


SETTINGS = st.sampled_from(
    [
        AllocatorSettings(),
        AllocatorSettings(max_split_size_bytes=24 * MIB),
        EXPANDABLE,
        AllocatorSettings(expandable_segments=True, large_segment_size_bytes=12 * MIB),
        AllocatorSettings(expandable_segments=True, max_split_size_bytes=24 * MIB),
    ]
)
REQUEST = st.one_of(
    st.integers(0, 3000),
    st.integers(1, 2 * MIB),
    st.integers(MIB, 24 * MIB),
    st.integers(10, 40).map(lambda mib: mib * MIB),
)
STEP = st.tuples(st.sampled_from(["malloc"] * 5 + ["free"] * 4 + ["empty", "reset"]), REQUEST)


def check(allocator: CachingAllocator, live: list[Block], capacity: int | None) -> None:
    segments = list(allocator.segments())
    pieces = [block for segment in segments for block in segment.blocks]
    assert {id(block) for block in pieces if block.allocated} == {id(block) for block in live if block.size}
    assert allocator.allocated.current == sum(block.size for block in live)
    assert allocator.active.current == allocator.allocated.current
    assert allocator.requested.current == sum(block.requested_bytes for block in live)
    assert allocator.reserved.current == sum(segment.total_bytes for segment in segments)
    assert allocator.reserved.current >= allocator.active.current >= allocator.requested.current
    if capacity is not None:
        assert allocator.reserved.peak <= capacity
    for counter in (allocator.allocated, allocator.active, allocator.requested, allocator.reserved):
        assert counter.peak >= counter.current >= 0
    check_layout(segments)
    check_pools(allocator, pieces)


def check_layout(segments: list[Segment]) -> None:
    for segment in segments:
        end = segment.address
        for block in segment.blocks:
            assert block.address == end
            assert block.size >= 512
            assert block.size % 512 == 0
            end += block.size
        assert end == segment.address + segment.total_bytes
        for low, high in pairwise(segment.blocks):
            assert low.allocated or high.allocated
    for one, other in pairwise(segments):
        assert one.address + one.total_bytes <= other.address


def check_pools(allocator: CachingAllocator, pieces: list[Block]) -> None:
    free = [block for pool in allocator._pools.values() for block in pool.free]
    assert {id(block) for block in free} == {id(block) for block in pieces if not block.allocated}
    for pool in allocator._pools.values():
        assert [(b.size, b.address) for b in pool.free] == sorted((b.size, b.address) for b in pool.free)
        assert pool.keys == [block.size << 64 | block.address for block in pool.free]
        assert not any(block.mapped for block in pool.unmapped)
        assert all(block.next is None or block.next.mapped for block in pool.unmapped)


@given(SETTINGS, st.sampled_from([None, 45 * MIB, 150 * MIB]), st.lists(STEP, max_size=60))
@settings(max_examples=150)
def test_invariants(chosen: AllocatorSettings, capacity: int | None, steps: list[tuple[str, int]]) -> None:
    allocator = CachingAllocator(capacity, chosen)
    live: list[Block] = []
    for action, number in steps:
        if action == "malloc":
            before = allocator.num_ooms
            try:
                live.append(allocator.malloc(number))
            except SimOutOfMemoryError:
                assert allocator.num_ooms == before + 1
        elif action == "free" and live:
            allocator.free(live.pop(number % len(live)))
        elif action == "empty":
            allocator.empty_cache()
        elif action == "reset":
            allocator.reset_peaks()
            assert allocator.allocated.peak == allocator.allocated.current
        check(allocator, live, capacity)
    for block in live:
        allocator.free(block)
    allocator.empty_cache()
    check(allocator, [], capacity)
    assert allocator.reserved.current == 0
