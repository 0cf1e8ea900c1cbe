"""What each operation of a run asks of the allocator, on the GPU or the twin, and its form in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

#: Name of what is allocated while no operation runs.
OUTSIDE = "(outside of operations)"


@dataclass(frozen=True, slots=True)
class StreamOperation:
    """An operation that allocates or after which something is freed.

    Attributes:
        step: 0 for building, then counted from 1.
        phase: "build", "forward", "backward" or "optimizer".
        module: path of the module; empty outside of all modules.
        name: its name, such as ``aten.mm.default``.
        first: number of its first allocation, counted from 0 over the whole run.
        requested_bytes: bytes that each of its allocations asked for, in their order.
        freed: numbers of the allocations freed from its start to the start of the next operation; those made
            before the recording began are left out.
        freed_after: for each number in `freed`, how many of the operation's allocations came before the free.
        addresses: addresses of its allocations, in their order.
    """

    step: int
    phase: str
    module: str
    name: str
    first: int
    requested_bytes: tuple[int, ...]
    freed: tuple[int, ...] = ()
    freed_after: tuple[int, ...] = ()
    addresses: tuple[int, ...] = ()


Stream = Sequence[StreamOperation]


class PlainAllocation(NamedTuple):
    """An allocation of a step that nothing but the allocator watched.

    Attributes:
        phase: phase of the step in which it came.
        requested_bytes: bytes that were asked for.
        freed_at: how many allocations the step had made when this one was freed; None: it outlived the step.
    """

    phase: str
    requested_bytes: int
    freed_at: int | None


@dataclass
class StreamBuilder:
    """Builds a stream from operations and their events in order; operations without an event are left out."""

    _operations: list[StreamOperation] = field(default_factory=list)
    _place: tuple[int, str, str, str] = (0, "build", "", OUTSIDE)
    _sizes: list[int] = field(default_factory=list)
    _addresses: list[int] = field(default_factory=list)
    _freed: list[int] = field(default_factory=list)
    _freed_after: list[int] = field(default_factory=list)
    _count: int = 0

    def operation(self, step: int, phase: str, module: str, name: str) -> None:
        """Begin an operation: the events added from here on belong to it."""
        self._close()
        self._place = (step, phase, module, name)

    def outside(self) -> None:
        """End the operation: something is allocated before the next one starts."""
        step, phase, module, _ = self._place
        self.operation(step, phase, module, OUTSIDE)

    def alloc(self, requested_bytes: int, address: int) -> int:
        """Add an allocation and return its number."""
        self._sizes.append(requested_bytes)
        self._addresses.append(address)
        self._count += 1
        return self._count - 1

    def free(self, number: int) -> None:
        """Add the free of the allocation with this number."""
        self._freed.append(number)
        self._freed_after.append(len(self._sizes))

    def stream(self) -> list[StreamOperation]:
        """Return the operations that were added and have events."""
        self._close()
        return self._operations

    def _close(self) -> None:
        if self._sizes or self._freed:
            first = self._count - len(self._sizes)
            lists = (self._sizes, self._freed, self._freed_after, self._addresses)
            self._operations.append(StreamOperation(*self._place, first, *map(tuple, lists)))
        self._sizes, self._addresses, self._freed, self._freed_after = [], [], [], []


def steps_of(stream: Stream, steps: Iterable[int]) -> list[StreamOperation]:
    """Return the operations of the given steps."""
    numbers = set(steps)
    return [operation for operation in stream if operation.step in numbers]


def as_json(stream: Stream) -> dict[str, Any]:
    """Return the stream as values for JSON, in which names, which repeat often, are numbers."""
    texts: dict[str, int] = {}

    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    rows = []
    for operation in stream:
        values = asdict(operation)
        rows.append([number(value) if isinstance(value, str) else value for value in values.values()])
    return {"columns": list(StreamOperation.__dataclass_fields__), "operations": rows, "texts": list(texts)}


def from_json(data: Mapping[str, Any]) -> list[StreamOperation]:
    """Return the stream that `as_json` was given."""
    texts = data["texts"]
    return [
        StreamOperation(
            step=step,
            phase=texts[phase],
            module=texts[module],
            name=texts[name],
            first=first,
            requested_bytes=tuple(sizes),
            freed=tuple(freed),
            freed_after=tuple(freed_after),
            addresses=tuple(addresses),
        )
        for step, phase, module, name, first, sizes, freed, freed_after, addresses in data["operations"]
    ]
