"""Every allocation and free of the twin, in order, with where in the step it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lorafa_prof.devices.sim.allocator import Block
from lorafa_prof.devices.sim.mode import BlockSource


@dataclass(frozen=True, slots=True)
class AllocationEvent:
    """A request to the allocator.

    Attributes:
        kind: which.
        allocation: number of the allocation, counted from 0; a free has that of what it frees.
        requested_bytes: asked for.
        block_bytes: of the block that served it.
        address: of that block.
        place: where it came.
    """

    kind: Literal["alloc", "free"]
    allocation: int
    requested_bytes: int
    block_bytes: int
    address: int
    place: Place


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the run something happens.

    Attributes:
        step: 0 for building, then counted from 1.
        phase: "build", "forward", "backward" or "optimizer".
        module: path of the module; empty outside of all.
        operation: such as ``aten.mm.default``; empty before the first.
        number: of the operation, counted from the start of the log; -1 where nobody counts.
    """

    step: int
    phase: str
    module: str
    operation: str
    number: int = -1


@dataclass
class LoggedBlock:
    """A block that was handed out, and what the log knows it by.

    Attributes:
        block: of the allocator.
        number: of the allocation, as in `AllocationEvent`.
        size: of the block when it was handed out, in bytes.
        address: of the block then.
    """

    block: Block
    number: int
    size: int
    address: int


class AllocationLog:
    """Stands before an allocator and keeps what passes; a `TwinMode` takes its memory through it."""

    def __init__(self, allocator: BlockSource, place: Callable[[], Place]) -> None:
        self.events: list[AllocationEvent] = []
        self._allocator = allocator
        self._place = place
        self._count = 0

    def malloc(self, requested_bytes: int) -> LoggedBlock:
        """As the allocator does."""
        block = self._allocator.malloc(requested_bytes)
        # The block may be another one's after it is freed, so what is told of it is kept here.
        held = LoggedBlock(block, self._count, block.size, block.address)
        self._count += 1
        self._note("alloc", held, requested_bytes)
        return held

    def free(self, held: LoggedBlock) -> None:
        """As the allocator does."""
        requested_bytes = held.block.requested_bytes
        self._allocator.free(held.block)
        self._note("free", held, requested_bytes)

    def _note(self, kind: Literal["alloc", "free"], held: LoggedBlock, requested_bytes: int) -> None:
        event = AllocationEvent(kind, held.number, requested_bytes, held.size, held.address, self._place())
        self.events.append(event)
