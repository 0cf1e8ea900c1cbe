"""Blocks of device memory, the pools of free blocks, and the counters of bytes."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

MIN_BLOCK = 512
"""kMinBlockSize: every size is a multiple of it."""

_ADDRESS_BITS = 64


class Counter:
    """A number of bytes and its peak (c10/core/CachingDeviceAllocator.h, Stat).

    Attributes:
        current: bytes at this moment.
        peak: the largest `current` since the start or the last reset.
    """

    __slots__ = ("current", "peak")

    def __init__(self) -> None:
        self.current = 0
        self.peak = 0

    def increase(self, amount: int) -> None:
        """Add `amount` bytes, and raise the peak if that is a new one."""
        self.current += amount
        if self.current > self.peak:
            self.peak = self.current

    def decrease(self, amount: int) -> None:
        """Take `amount` bytes away; the peak stays."""
        self.current -= amount

    def __repr__(self) -> str:
        return f"Counter(current={self.current}, peak={self.peak})"


class AddressRange(NamedTuple):
    """The addresses that one expandable segment may map (CUDACachingAllocator.cpp, ExpandableSegment).

    Attributes:
        address: the first address.
        size: number of addresses, a multiple of `page`.
        page: bytes that are mapped or unmapped as one: 2 MiB for small blocks, 20 MiB for large ones.
    """

    address: int
    size: int
    page: int


class Block:
    """A piece of a segment, in use or free (CUDACachingAllocator.cpp, struct Block).

    Attributes:
        address: address of its first byte; 0 for a request of 0 bytes, which takes no memory.
        size: its bytes, a multiple of 512.
        requested_bytes: bytes that the last caller asked for; they stay when it is freed, as in PyTorch.
        allocated: whether it is handed out and not yet freed.
        mapped: whether memory is behind its addresses; always, except in an expandable segment.
        prev: the block just below in the same segment, if any.
        next: the block just above in the same segment, if any.
        pool: the pool that it goes back to when it is freed.
        expandable: the addresses of the expandable segment that it lies in; None if it lies in none.
    """

    __slots__ = (
        "address",
        "allocated",
        "expandable",
        "mapped",
        "next",
        "pool",
        "prev",
        "requested_bytes",
        "size",
    )

    def __init__(
        self, address: int, size: int, pool: BlockPool | None, expandable: AddressRange | None = None
    ) -> None:
        self.address = address
        self.size = size
        self.requested_bytes = 0
        self.allocated = False
        self.mapped = True
        self.prev: Block | None = None
        self.next: Block | None = None
        self.pool = pool
        self.expandable = expandable

    @property
    def state(self) -> str:
        """Its state by the name that torch.cuda.memory._snapshot gives it."""
        return "active_allocated" if self.allocated else "inactive"

    def insert_between(self, below: Block | None, above: Block | None) -> None:
        """Link this block between its neighbours in the segment (Block::splice)."""
        self.prev = below
        self.next = above
        if below is not None:
            below.next = self
        if above is not None:
            above.prev = self

    def __repr__(self) -> str:
        return f"Block({self.address:#x}, {self.size} B, {self.state if self.mapped else 'unmapped'})"


class BlockPool:
    """One stream's free blocks by (size, address), and the unmapped ones by address (struct BlockPool).

    PyTorch's pool has the blocks of all streams, by stream first.

    Attributes:
        is_small: whether it serves requests of at most 1 MiB.
        stream: number of the stream whose requests it serves.
        keys: (size, address) of the free blocks as one rising integer each, for bisecting.
        free: the free blocks, in the order of `keys`.
        unmapped: address ranges of expandable segments with no memory behind them.
    """

    __slots__ = ("free", "is_small", "keys", "stream", "unmapped")

    def __init__(self, is_small: bool, stream: int = 0) -> None:
        self.is_small = is_small
        self.stream = stream
        self.keys: list[int] = []
        self.free: list[Block] = []
        self.unmapped: list[Block] = []

    def at_least(self, size: int) -> int:
        """Return the index of the smallest free block of at least `size` bytes.

        Among equally large ones it is that of the lowest address.
        """
        return bisect_left(self.keys, size << _ADDRESS_BITS)

    def insert(self, block: Block) -> None:
        """Add a mapped block to the free ones."""
        key = block.size << _ADDRESS_BITS | block.address
        index = bisect_left(self.keys, key)
        self.keys.insert(index, key)
        self.free.insert(index, block)

    def remove(self, block: Block) -> None:
        """Take a free block out of the pool; call it before the block's size or address changes."""
        self.take(bisect_left(self.keys, block.size << _ADDRESS_BITS | block.address))

    def take(self, index: int) -> Block:
        """Take the free block at `index` out of the pool and return it."""
        del self.keys[index]
        return self.free.pop(index)

    def insert_unmapped(self, block: Block) -> None:
        """Add a block to the unmapped ones."""
        insort(self.unmapped, block, key=_address)

    def remove_unmapped(self, block: Block) -> None:
        """Take an unmapped block out of the pool; call it before the block's address changes."""
        del self.unmapped[bisect_left(self.unmapped, block.address, key=_address)]


def _address(block: Block) -> int:
    return block.address


def merge(into: Block, neighbour: Block | None, pool: BlockPool) -> None:
    """Merge a free neighbour into `into`, if both or neither are mapped.

    `into` is in none of the pool's lists. CUDACachingAllocator.cpp, try_merge_blocks.
    """
    if neighbour is None or neighbour.allocated or neighbour.mapped != into.mapped:
        return
    if neighbour.mapped:
        pool.remove(neighbour)
    else:
        pool.remove_unmapped(neighbour)
    if into.prev is neighbour:
        into.address = neighbour.address
        into.insert_between(neighbour.prev, into.next)
    else:
        into.insert_between(into.prev, neighbour.next)
    into.size += neighbour.size


def split_front(block: Block, size: int, pool: BlockPool) -> Block:
    """Return the first `size` bytes of a block as a block of its own; the rest goes to the pool.

    `block` is in none of the pool's lists. CUDACachingAllocator.cpp, alloc_found_block.
    """
    front = Block(block.address, size, pool, block.expandable)
    front.insert_between(block.prev, block)
    block.address += size
    block.size -= size
    pool.insert(block)
    return front
