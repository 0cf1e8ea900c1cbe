"""A log of every allocation and free of the twin, in order, with its place in the run."""

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
        kind: "alloc" or "free".
        allocation: number of the allocation, counted from 0; a free has the number of what it frees.
        requested_bytes: bytes that were asked for.
        block_bytes: size of the block that served the request.
        address: address of that block.
        place: where in the run the request came.
    """

    kind: Literal["alloc", "free"]
    allocation: int
    requested_bytes: int
    block_bytes: int
    address: int
    place: Place


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the run: step, phase, module and operation.

    Attributes:
        step: 0 for building, then counted from 1.
        phase: "build", "forward", "backward" or "optimizer".
        module: path of the module; empty outside of all modules.
        operation: its name, such as ``aten.mm.default``; empty before the first.
        number: number of the operation, counted from the start of the log; -1 if nobody counts them.
        line: of the user's own code that asked for memory, by `lines_here`; empty if there is none.
    """

    step: int
    phase: str
    module: str
    operation: str
    number: int = -1
    line: str = ""


@dataclass
class LoggedBlock:
    """A block that was handed out, with the number and place in memory that the log knows it by.

    Attributes:
        block: the allocator's block, which may change after it is freed.
        number: number of the allocation, as in `AllocationEvent`.
        size: size of the block when it was handed out, in bytes.
        address: address of the block when it was handed out.
    """

    block: Block
    number: int
    size: int
    address: int


class AllocationLog:
    """Stands between a `TwinMode` and its allocator, and logs every request."""

    def __init__(self, allocator: BlockSource, place: Callable[[], Place]) -> None:
        self.events: list[AllocationEvent] = []
        self._allocator = allocator
        self._place = place
        self._count = 0

    def malloc(self, requested_bytes: int) -> LoggedBlock:
        """Return a block of at least `requested_bytes` from the allocator, and log it."""
        block = self._allocator.malloc(requested_bytes)
        # The block may be another one's after it is freed, so its size and address are kept here.
        held = LoggedBlock(block, self._count, block.size, block.address)
        self._count += 1
        self._note("alloc", held, requested_bytes)
        return held

    def free(self, held: LoggedBlock) -> None:
        """Give a block back to the allocator, and log it."""
        requested_bytes = held.block.requested_bytes
        self._allocator.free(held.block)
        self._note("free", held, requested_bytes)

    def _note(self, kind: Literal["alloc", "free"], held: LoggedBlock, requested_bytes: int) -> None:
        event = AllocationEvent(kind, held.number, requested_bytes, held.size, held.address, self._place())
        self.events.append(event)
