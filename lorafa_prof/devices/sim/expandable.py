"""Expandable segments: one range of addresses for each pool, mapped and unmapped page by page.

Follows c10/cuda/CUDACachingAllocator.cpp, Note [Expandable Segments].
"""

from __future__ import annotations

from lorafa_prof.devices.sim.blocks import AddressRange, Block, BlockPool, merge
from lorafa_prof.devices.sim.memory import DeviceMemory


def best_fit(pool: BlockPool, index: int) -> int:
    """Return the index of the free block to use, given that of the smallest large enough (get_free_block).

    A block with unmapped addresses above it counts as large as it could grow, so that requests which fit
    elsewhere leave it to grow.
    """
    free = pool.free
    while index + 1 < len(free) and _size_if_grown(free[index + 1]) < _size_if_grown(free[index]):
        index += 1
    return index


def _size_if_grown(block: Block) -> int:
    above = block.next
    return block.size if above is None or above.mapped else block.size + above.size


def allocate(pool: BlockPool, size: int, page: int, memory: DeviceMemory) -> Block | None:
    """Return a block of at least `size` bytes, mapping pages as needed; None if the device has too few bytes.

    What was mapped before memory ran out stays. CUDACachingAllocator.cpp, try_allocate_expandable_block.
    """
    block = _room_for(pool, size)
    if block is None:
        block = _new_segment(pool, size, page, memory)
    if not block.mapped and not _map(block, min(block.size, size), pool, memory):
        return None
    while block.size < size:
        above = block.next
        assert above is not None
        if not _map(above, min(size - block.size, above.size), pool, memory):
            return None
        block = above  # It has swallowed the block below.
    pool.remove(block)
    return block


def _room_for(pool: BlockPool, size: int) -> Block | None:
    """Return the lowest block that starts `size` free addresses, mapped or not; None if there is none.

    CUDACachingAllocator.cpp, find_expandable_block.
    """
    for unmapped in pool.unmapped:
        below = unmapped.prev
        start = below if below is not None and not below.allocated else unmapped
        if _free_addresses(start, size) >= size:
            return start
    return None


def _free_addresses(block: Block | None, enough: int) -> int:
    total = 0
    while total < enough and block is not None and not block.allocated:
        total += block.size
        block = block.next
    return total


def _new_segment(pool: BlockPool, at_least: int, page: int, memory: DeviceMemory) -> Block:
    size = -(-max(memory.expandable_addresses, at_least) // page) * page
    segment = AddressRange(memory.new_addresses(size), size, page)
    block = Block(segment.address, size, pool, segment)
    block.mapped = False
    pool.insert_unmapped(block)
    return block


def _map(block: Block, size: int, pool: BlockPool, memory: DeviceMemory) -> bool:
    """Map the first `size` bytes of an unmapped block, rounded up to pages (map_block).

    Returns False if the device has too little memory.
    """
    segment = block.expandable
    assert segment is not None
    mapped = -(-size // segment.page) * segment.page
    if not memory.acquire(mapped):
        return False
    pool.remove_unmapped(block)
    block.mapped = True
    if mapped < block.size:
        rest = Block(block.address + mapped, block.size - mapped, pool, segment)
        rest.mapped = False
        rest.insert_between(block, block.next)
        pool.insert_unmapped(rest)
        block.size = mapped
    merge(block, block.prev, pool)
    merge(block, block.next, pool)
    pool.insert(block)
    return True


def release_free_pages(pool: BlockPool, memory: DeviceMemory) -> None:
    """Unmap every page with nothing in use on it, and drop segments that have none left (release_blocks)."""
    for block in tuple(pool.free):
        _unmap(block, pool, memory)
        if block.prev is None and block.next is None:
            pool.remove_unmapped(block)


def _unmap(block: Block, pool: BlockPool, memory: DeviceMemory) -> None:
    """Unmap the whole pages within a free block (unmap_block, ExpandableSegment::unmap)."""
    segment = block.expandable
    assert segment is not None
    start, end = _whole_pages(block, segment)
    if start >= end:
        return
    pool.remove(block)
    below, above = start - block.address, block.address + block.size - end
    if below:
        _piece(block.address, below, segment, pool).insert_between(block.prev, block)
    if above:
        _piece(end, above, segment, pool).insert_between(block, block.next)
    block.address, block.size, block.mapped = start, end - start, False
    merge(block, block.prev, pool)
    merge(block, block.next, pool)
    pool.insert_unmapped(block)
    memory.give_back(end - start)


def _piece(address: int, size: int, segment: AddressRange, pool: BlockPool) -> Block:
    """Return a new free block for the part that stays mapped, because something else lies on its page."""
    block = Block(address, size, pool, segment)
    pool.insert(block)
    return block


def _whole_pages(block: Block, segment: AddressRange) -> tuple[int, int]:
    first = -(-(block.address - segment.address) // segment.page)
    last = (block.address + block.size - segment.address) // segment.page
    return segment.address + first * segment.page, segment.address + last * segment.page
