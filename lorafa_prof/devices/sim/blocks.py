"""Blocks of device memory, the pools of free ones, and the counters over them."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

MIN_BLOCK = 512
"""kMinBlockSize: every size is a multiple of it."""

_ADDRESS_BITS = 64


class Counter:
    """Bytes now and at most (c10/core/CachingDeviceAllocator.h, Stat).

    Attributes:
        current: bytes at this moment.
        peak: the largest `current` since the start or the last reset.
    """

    __slots__ = ("current", "peak")

    def __init__(self) -> None:
        self.current = 0
        self.peak = 0

    def increase(self, amount: int) -> None:
        """Add; the peak follows."""
        self.current += amount
        if self.current > self.peak:
            self.peak = self.current

    def decrease(self, amount: int) -> None:
        """Take away; the peak stays."""
        self.current -= amount

    def __repr__(self) -> str:
        return f"Counter(current={self.current}, peak={self.peak})"


class AddressRange(NamedTuple):
    """Addresses that one expandable segment may map (CUDACachingAllocator.cpp, ExpandableSegment).

    Attributes:
        address: the first one.
        size: how many, a multiple of `page`.
        page: bytes that are mapped or unmapped as one: 2 MiB for small blocks, 20 MiB for large ones.
    """

    address: int
    size: int
    page: int


class Block:
    """A piece of a segment, in use or free (CUDACachingAllocator.cpp, struct Block).

    Attributes:
        address: of its first byte; 0 for a request of no bytes, which takes no memory.
        size: its bytes, a multiple of 512.
        requested_bytes: what the last caller asked for; stays when the block is freed, as in PyTorch.
        allocated: handed out and not yet freed.
        mapped: backed by memory; only pieces of an expandable segment can be without.
        prev: the piece of the same segment just below, if any.
        next: the piece of the same segment just above, if any.
        pool: the pool to which it goes back.
        expandable: the expandable segment that it is a piece of, if it is one.
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
        """As torch.cuda.memory._snapshot names it."""
        return "active_allocated" if self.allocated else "inactive"

    def insert_between(self, below: Block | None, above: Block | None) -> None:
        """Link this block into its segment (Block::splice)."""
        self.prev = below
        self.next = above
        if below is not None:
            below.next = self
        if above is not None:
            above.prev = self

    def __repr__(self) -> str:
        return f"Block({self.address:#x}, {self.size} B, {self.state if self.mapped else 'unmapped'})"


class BlockPool:
    """Free blocks by (size, address), and unmapped ones by address (struct BlockPool).

    Attributes:
        is_small: holds requests of at most 1 MiB.
        keys: (size, address) of the free blocks as one rising integer each, for bisecting.
        free: the free blocks, in the order of `keys`.
        unmapped: address ranges of expandable segments with no memory behind them.
    """

    __slots__ = ("free", "is_small", "keys", "unmapped")

    def __init__(self, is_small: bool) -> None:
        self.is_small = is_small
        self.keys: list[int] = []
        self.free: list[Block] = []
        self.unmapped: list[Block] = []

    def at_least(self, size: int) -> int:
        """Index of the smallest free block of `size` bytes or more, the lowest address among equals."""
        return bisect_left(self.keys, size << _ADDRESS_BITS)

    def insert(self, block: Block) -> None:
        """Keep a mapped block as free."""
        key = block.size << _ADDRESS_BITS | block.address
        index = bisect_left(self.keys, key)
        self.keys.insert(index, key)
        self.free.insert(index, block)

    def remove(self, block: Block) -> None:
        """Take out a free block; before its size or address changes."""
        self.take(bisect_left(self.keys, block.size << _ADDRESS_BITS | block.address))

    def take(self, index: int) -> Block:
        """Take out the free block at an index and return it."""
        del self.keys[index]
        return self.free.pop(index)

    def insert_unmapped(self, block: Block) -> None:
        """Keep an unmapped block."""
        insort(self.unmapped, block, key=_address)

    def remove_unmapped(self, block: Block) -> None:
        """Take out an unmapped block; before its address changes."""
        del self.unmapped[bisect_left(self.unmapped, block.address, key=_address)]


def _address(block: Block) -> int:
    return block.address


def merge(into: Block, neighbour: Block | None, pool: BlockPool) -> None:
    """Let `into`, which is in no list, swallow a neighbour that is as free and as mapped as it is.

    CUDACachingAllocator.cpp, try_merge_blocks.
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
    """Cut `size` bytes off the front of a block that is in no list; the rest goes to the pool.

    CUDACachingAllocator.cpp, alloc_found_block.
    """
    front = Block(block.address, size, pool, block.expandable)
    front.insert_between(block.prev, block)
    block.address += size
    block.size -= size
    pool.insert(block)
    return front
