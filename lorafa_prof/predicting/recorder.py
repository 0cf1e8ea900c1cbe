"""What a script's memory is made of: every block with the line of the script that took it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from lorafa_prof.devices.sim.allocator import Block, SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.memory.profile import Counters
from lorafa_prof.instruments.saved.saving_line import saving_line
from lorafa_prof.instruments.user_line import user_line
from lorafa_prof.parts import BlockKind

Trait = Literal["trains", "linear", "adam"]
"""What else is known of a tensor: a weight that trains, one that a linear layer multiplies by and that can be
quantized, or a moment of Adam, as large as its weight."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened: before which optimizer step's end, counted from 1, and in which phase."""

    step: int
    phase: str


@dataclass(slots=True)
class Holding:
    """A block that was handed out.

    Attributes:
        block: the allocator's.
        number: counted from 0.
        size_bytes: of the block when it was handed out.
        requested_bytes: what was asked for.
        line: "file:number" of the script's own line that took it.
        code: "file:number" of the innermost line, of whosever code, that is not PyTorch's.
        moment: when.
        kind: what it is for, as far as that is known yet.
        dtype: of a tensor whose kind was noted.
        traits: of that tensor.
    """

    block: Block
    number: int
    size_bytes: int
    requested_bytes: int
    line: str
    code: str
    moment: Moment
    kind: BlockKind | None = None
    dtype: torch.dtype | None = None
    traits: set[Trait] = field(default_factory=set)

    @property
    def is_temporary(self) -> bool:
        """Whether it is for nothing that is kept: what is taken before the first forward may be."""
        return self.kind is None and self.moment.phase != "build"

    @property
    def elements(self) -> int:
        """How many numbers it has; 0 where its type is not known."""
        return self.requested_bytes // self.dtype.itemsize if self.dtype is not None else 0


@dataclass(frozen=True)
class OutOfMemory:
    """Where memory ran out. The error itself is not kept: it would keep what its frames hold.

    Attributes:
        line: of the script.
        moment: when.
        short_bytes: what was lacking for this request.
    """

    line: str
    moment: Moment
    short_bytes: int

    @property
    def where(self) -> str:
        """The line and the moment in words: "at train.py:41, step 1, backward"."""
        return f"at {self.line or 'a library'}, step {self.moment.step}, {self.moment.phase}"


class Recorder:
    """Stands between a twin and its allocator.

    Args:
        twin: on which nothing has run yet.
        moment: tells when it is.
        running_out: is called where memory runs out, while all that lives is still there.

    Attributes:
        peak: the largest bytes of each counter over all that ran.
        out_of_memory: where memory ran out last; None as long as it did not.
    """

    def __init__(self, twin: Twin, moment: Callable[[], Moment], running_out: Callable[[], None]) -> None:
        self.peak = Counters(0, 0, 0, 0)
        self.out_of_memory: OutOfMemory | None = None
        self._twin = twin
        self._moment = moment
        self._running_out = running_out
        self._holdings: list[Holding] = []
        #: The number of an allocation, or -1 less it of what is freed.
        self._events: list[int] = []
        self._live: dict[int, Holding] = {}
        self._peak_at = 0
        twin.mode.memory = self

    def malloc(self, requested_bytes: int) -> Holding:
        """Return a block of at least `requested_bytes`, and note who took it.

        Raises:
            SimOutOfMemoryError: the device has no room for it.
        """
        allocator = self._twin.allocator
        line = user_line()
        try:
            block = allocator.malloc(requested_bytes)
        except SimOutOfMemoryError as error:
            free = (error.capacity_bytes or 0) - error.reserved_bytes
            self.out_of_memory = OutOfMemory(line, self._moment(), error.requested_bytes - free)
            self._running_out()
            raise
        holding = Holding(
            block, len(self._holdings), block.size, requested_bytes, line, saving_line(), self._moment()
        )
        if self._twin.mode.in_kernel:
            holding.kind = "workspaces"
        self._holdings.append(holding)
        self._live[holding.number] = holding
        self._events.append(holding.number)
        self._see_peak()
        return holding

    def free(self, holding: Holding) -> None:
        """Give a block back."""
        self._twin.allocator.free(holding.block)
        del self._live[holding.number]
        self._events.append(-1 - holding.number)

    def note(self, kind: BlockKind, tensors: Iterable[Tensor]) -> None:
        """Note what the blocks of these tensors are for, unless that is known."""
        for tensor, holding in self._behind(tensors):
            holding.kind = holding.kind or kind
            holding.dtype = tensor.dtype

    def mark(self, trait: Trait, tensors: Iterable[Tensor]) -> None:
        """Note a trait of these tensors."""
        for _, holding in self._behind(tensors):
            holding.traits.add(trait)

    def forward_ended(self) -> None:
        """Note that what forward made and is there now is kept for backward.

        What is loaded after an evaluation, until the model is called, is as if of that.
        """
        for holding in self._live.values():
            if holding.kind is None and holding.moment.phase in ("forward", "evaluation"):
                holding.kind = "activations"

    def at_peak(self) -> list[Holding]:
        """Return the blocks that were there when most was allocated."""
        there: set[int] = set()
        for event in self._events[: self._peak_at]:
            if event >= 0:
                there.add(event)
            else:
                there.discard(-1 - event)
        return [self._holdings[number] for number in sorted(there)]

    def _behind(self, tensors: Iterable[Tensor]) -> Iterator[tuple[Tensor, Holding]]:
        for tensor in tensors:
            if tensor.is_cuda and (holding := self._twin.mode.block_of(tensor)) is not None:
                yield tensor, holding

    def _see_peak(self) -> None:
        a = self._twin.allocator
        now = Counters(a.allocated.current, a.requested.current, a.active.current, a.reserved.current)
        if now.allocated > self.peak.allocated:
            self._peak_at = len(self._events)
        self.peak = self.peak.larger(now)
