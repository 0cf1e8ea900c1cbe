"""Short allocation streams, written down."""

from __future__ import annotations

from lorafa_prof.instruments.allocations.stream import PlainAllocation, StreamBuilder, StreamOperation


def stream(*lines: str, step: int = 1) -> list[StreamOperation]:
    """Lines such as ``backward layer.0 mm +512 +64 -0``: allocations of 512 and 64 bytes, then a free of the
    first allocation of the whole stream. ``.`` is no module."""
    builder = StreamBuilder()
    for line in lines:
        phase, module, name, *events = line.split()
        builder.operation(step, phase, "" if module == "." else module, name)
        for event in events:
            if event[0] == "+":
                builder.alloc(int(event[1:]), address=0)
            else:
                builder.free(int(event[1:]))
    return builder.stream()


def plain_of(operations: list[StreamOperation]) -> list[PlainAllocation]:
    """The same step as the allocator alone sees it."""
    freed_at: dict[int, int] = {}
    count = 0
    for operation in operations:
        for number, after in zip(operation.freed, operation.freed_after, strict=True):
            freed_at[number] = count + after
        count += len(operation.requested_bytes)
    return [
        PlainAllocation(operation.phase, size, freed_at.get(number))
        for operation in operations
        for number, size in enumerate(operation.requested_bytes, operation.first)
    ]
