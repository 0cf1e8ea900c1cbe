"""PyTorch's CUDA caching allocator, block by block, without a GPU.

Follows c10/cuda/CUDACachingAllocator.cpp (class DeviceCachingAllocator, NativeCachingAllocator) of PyTorch
2.11 to 2.13 for one process and one device. Each stream has pools of its own, as have CUDA graphs, and a
block goes back to the pool that it was taken from; none is used on another stream (`record_stream`). The
functions name their original.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lorafa_prof.devices.sim import expandable
from lorafa_prof.devices.sim.blocks import MIN_BLOCK, Block, BlockPool, Counter, merge, split_front
from lorafa_prof.devices.sim.memory import DeviceMemory
from lorafa_prof.devices.sim.out_of_memory import SimOutOfMemoryError, out_of_memory_text
from lorafa_prof.devices.sim.settings import MIB, AllocatorSettings

__all__ = ["AllocatorSettings", "Block", "CachingAllocator", "Counter", "Segment", "SimOutOfMemoryError"]

SMALL_SIZE = 1 * MIB
"""kSmallSize: the largest request of the small pool."""
SMALL_BUFFER = 2 * MIB
"""kSmallBuffer: a segment, or page, of the small pool."""
MIN_LARGE_ALLOC = 10 * MIB
"""kMinLargeAlloc: from here on a request gets a segment of its own size."""
ROUND_LARGE = 2 * MIB
"""kRoundLarge: such a size is a multiple of this."""
DEFAULTS = AllocatorSettings()
"""PyTorch's settings if the environment has none."""
ABSURD = 1 << 60
#: Whose pools are everybody's; graphs' own are numbered from 1.
_COMMON = 0
"""NativeCachingAllocator::allocate does not even try from 1 EiB on."""


class Segment(NamedTuple):
    """A stretch of memory that the allocator took from the device, as torch.cuda.memory._snapshot lists it.

    Attributes:
        address: address of its first byte.
        total_bytes: its size; for an expandable segment, that of one mapped stretch.
        is_small_pool: whether it serves requests of at most 1 MiB.
        blocks: the blocks that fill it, by address, without a gap.
        stream: number of the stream whose requests it serves.
    """

    address: int
    total_bytes: int
    is_small_pool: bool
    blocks: tuple[Block, ...]
    stream: int


class CachingAllocator:
    """Hands out blocks of device memory and keeps what is freed for later requests.

    Args:
        capacity_bytes: bytes that all segments together may take; None: no limit.
        settings: options of the allocator, as PYTORCH_CUDA_ALLOC_CONF has them.
        addresses: addresses of the first segments, if those of a GPU's run are known; others follow a rule.
        device_bytes: bytes of the whole device; None: `capacity_bytes`.

    Attributes:
        stream: number of the stream that memory is taken on from now on; 0 is the one that computes.
        allocated: bytes of the blocks handed out, rounded (stats.allocated_bytes).
        requested: bytes asked for in them, not rounded (stats.requested_bytes).
        active: the same as `allocated`, since no other stream delays a free (stats.active_bytes).
        reserved: bytes taken from the device, in use or cached (stats.reserved_bytes).
        num_alloc_retries: times the whole cache was given back to serve a request.
        num_ooms: times even that did not help.
    """

    def __init__(
        self,
        capacity_bytes: int | None = None,
        settings: AllocatorSettings = DEFAULTS,
        addresses: Iterable[int] = (),
        device_bytes: int | None = None,
    ) -> None:
        self.settings = settings
        self.stream = 0
        self.allocated = Counter()
        self.requested = Counter()
        self.active = Counter()
        self.num_alloc_retries = 0
        self.num_ooms = 0
        self._memory = DeviceMemory(capacity_bytes, addresses, device_bytes)
        self.reserved = self._memory.reserved
        self._pools: dict[tuple[int, int, bool], BlockPool] = {}
        self._private_pools = 0
        self._owner = _COMMON
        self._in_use: set[Block] = set()

    @property
    def capacity_bytes(self) -> int | None:
        """Bytes that all segments together may take; None: no limit."""
        return self._memory.capacity_bytes

    def malloc(self, requested_bytes: int) -> Block:
        """Return a block of at least `requested_bytes`; a request of 0 bytes takes no memory.

        Raises:
            SimOutOfMemoryError: the device has no room for it.
        """
        if requested_bytes <= 0:
            return _no_bytes(requested_bytes)
        size = -(-requested_bytes // MIN_BLOCK) * MIN_BLOCK
        pool = self._pool(size)
        block = self._cached_block(pool, size)
        if block is None:
            block = self._new_block(pool, size, requested_bytes)
        if self._should_split(pool, block.size - size, size):
            block = split_front(block, size, pool)
        block.allocated = True
        block.requested_bytes = requested_bytes
        self._in_use.add(block)
        self.allocated.increase(block.size)
        self.active.increase(block.size)
        self.requested.increase(requested_bytes)
        return block

    def free(self, block: Block) -> None:
        """Put a block back into its pool, merged with its free neighbours (free, free_block)."""
        pool = block.pool
        if pool is None:
            return
        if block not in self._in_use:
            raise ValueError(f"{block!r} is not in use here")
        self._in_use.remove(block)
        block.allocated = False
        self.allocated.decrease(block.size)
        self.active.decrease(block.size)
        self.requested.decrease(block.requested_bytes)
        if block.prev is not None:
            merge(block, block.prev, pool)
        if block.next is not None:
            merge(block, block.next, pool)
        pool.insert(block)

    def empty_cache(self) -> None:
        """Give segments, or pages, with no block in use back to the device (release_cached_blocks).

        Those of private pools stay: graphs use them whenever they run.
        """
        common = (pool for (owner, *_), pool in self._pools.items() if owner == _COMMON)
        for pool in sorted(common, key=lambda pool: pool.is_small):
            if self.settings.expandable_segments:
                expandable.release_free_pages(pool, self._memory)
                continue
            for block in tuple(pool.free):
                if block.prev is None and block.next is None:
                    self._release(pool, block)

    def private_pool(self) -> int:
        """Return the number of a pool of its own for the memory of CUDA graphs (createOrIncrefPool)."""
        self._private_pools += 1
        return self._private_pools

    @contextmanager
    def capturing(self, private_pool: int) -> Iterator[None]:
        """A context in which requests are served by this pool (beginAllocateToPool, endAllocateToPool)."""
        self._owner = private_pool
        try:
            yield
        finally:
            self._owner = _COMMON

    def reset_peaks(self) -> None:
        """Set every peak to its current value, as torch.cuda.reset_peak_memory_stats does."""
        for counter in (self.allocated, self.requested, self.active, self.reserved):
            counter.peak = counter.current

    def lift_capacity(self) -> None:
        """Remove the limit: from now on the device has room for every request."""
        self._memory.capacity_bytes = None

    def state(self) -> frozenset[tuple[int, int, int]]:
        """Return all blocks as (address, size, bytes requested or -1 if free).

        From equal states, equal requests have equal answers.
        """
        free = ((b.address, b.size, -1) for pool in self._pools.values() for b in pool.free)
        used = ((b.address, b.size, b.requested_bytes) for b in self._in_use)
        return frozenset((*free, *used))

    def segments(self) -> Iterator[Segment]:
        """Yield the segments that are reserved, by address, for a memory snapshot (snapshot)."""
        blocks = [*self._in_use, *(block for pool in self._pools.values() for block in pool.free)]
        heads = [block for block in blocks if block.prev is None or not block.prev.mapped]
        for head in sorted(heads, key=lambda block: block.address):
            pieces = tuple(_mapped_from(head))
            total = sum(block.size for block in pieces)
            assert head.pool is not None
            yield Segment(head.address, total, head.pool.is_small, pieces, head.pool.stream)

    def _pool(self, size: int) -> BlockPool:
        """Return the pool that a block of `size` bytes comes from, by who asks on which stream (get_pool)."""
        key = (self._owner, self.stream, size <= SMALL_SIZE)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = BlockPool(is_small=key[2], stream=self.stream)
        return pool

    def _cached_block(self, pool: BlockPool, size: int) -> Block | None:
        """Take the best fitting free block out of the pool; None if no block fits (get_free_block)."""
        index = pool.at_least(size)
        if index == len(pool.free):
            return None
        if self.settings.expandable_segments:
            index = expandable.best_fit(pool, index)
        unsplit_from = self.settings.max_split_size_bytes
        if unsplit_from is not None:
            best_size = pool.free[index].size
            if size < unsplit_from <= best_size:
                return None
            if size >= unsplit_from and best_size >= size + self.settings.rounding_allowance_bytes:
                return None
        return pool.take(index)

    def _should_split(self, pool: BlockPool, remaining: int, size: int) -> bool:
        """Return whether the rest of a block becomes a block of its own (should_split)."""
        if pool.is_small or self.settings.expandable_segments:
            return remaining >= MIN_BLOCK
        unsplit_from = self.settings.max_split_size_bytes
        return remaining > SMALL_SIZE and (unsplit_from is None or size < unsplit_from)

    def _new_block(self, pool: BlockPool, size: int, requested_bytes: int) -> Block:
        """Return a block from the device; cached blocks are given back if that needs room (malloc)."""
        if requested_bytes >= ABSURD:
            raise self._error("CUDA out of memory. Tried to allocate more than 1EB memory.", requested_bytes)
        block = self._alloc_block(pool, size)
        if block is None and self._release_oversize(pool, size):
            block = self._alloc_block(pool, size)
        if block is None and self._owner == _COMMON:
            self.empty_cache()
            self.num_alloc_retries += 1
            block = self._alloc_block(pool, size)
        if block is None:
            self.num_ooms += 1
            raise self._out_of_memory(size, requested_bytes)
        return block

    def _alloc_block(self, pool: BlockPool, size: int) -> Block | None:
        """Return a new segment, or a longer one, as a block; None if the device has no room (alloc_block)."""
        if self.settings.expandable_segments:
            page = SMALL_BUFFER if pool.is_small else self.settings.large_segment_size_bytes
            return expandable.allocate(pool, size, page, self._memory)
        segment_bytes = self._segment_bytes(size)
        if not self._memory.acquire(segment_bytes):
            return None
        return Block(self._memory.new_addresses(segment_bytes), segment_bytes, pool)

    def _segment_bytes(self, size: int) -> int:
        """Return the bytes that are asked of the device for a block of `size` bytes (get_allocation_size)."""
        if size <= SMALL_SIZE:
            return SMALL_BUFFER
        if size < MIN_LARGE_ALLOC:
            return self.settings.large_segment_size_bytes
        return -(-size // ROUND_LARGE) * ROUND_LARGE

    def _release_oversize(self, pool: BlockPool, size: int) -> bool:
        """Give back just enough of the blocks that are never split (release_available_cached_blocks).

        Returns True if as much as the request, or one such block, went back. What went back stays away even
        where it was not enough.
        """
        unsplit_from = self.settings.max_split_size_bytes
        if unsplit_from is None or self.settings.expandable_segments:
            return False
        needed = max(size, unsplit_from)
        index = pool.at_least(needed)
        if index < len(pool.free):
            self._release(pool, pool.free[index])
            return True
        released = 0
        while released < needed and pool.free and pool.free[-1].size >= unsplit_from:
            released += pool.free[-1].size
            self._release(pool, pool.free[-1])
        return released >= needed

    def _release(self, pool: BlockPool, block: Block) -> None:
        """Give a free block, which is a whole segment, back to the device by cudaFree (release_block)."""
        pool.remove(block)
        self._memory.give_back(block.size)

    def _out_of_memory(self, size: int, requested_bytes: int) -> SimOutOfMemoryError:
        capacity = self._memory.capacity_bytes
        assert capacity is not None
        allocated, reserved = self.allocated.current, self.reserved.current
        text = out_of_memory_text(self._segment_bytes(size), capacity, allocated, reserved)
        return self._error(text, requested_bytes)

    def _error(self, text: str, requested_bytes: int) -> SimOutOfMemoryError:
        return SimOutOfMemoryError(
            text, requested_bytes, self._memory.capacity_bytes, self.allocated.current, self.reserved.current
        )


def _no_bytes(requested_bytes: int) -> Block:
    """Return a block of 0 bytes, which takes no memory.

    NativeCachingAllocator::allocate returns a null pointer.
    """
    if requested_bytes < 0:
        raise ValueError(f"cannot allocate {requested_bytes} bytes")
    return Block(0, 0, None)


def _mapped_from(block: Block | None) -> Iterator[Block]:
    while block is not None and block.mapped:
        yield block
        block = block.next
