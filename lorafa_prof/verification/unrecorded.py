"""Comparing the twin with a step of the GPU that only the allocator watched: by sizes and lifetimes alone.

This comparison is the one that counts: a recording by name makes PyTorch go another way in places.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lorafa_prof.instruments.allocations.stream import PlainAllocation, Stream, StreamOperation
from lorafa_prof.verification.align import AlignedPair, Key, align
from lorafa_prof.verification.differences import STILL_THERE, DifferenceKind, Located, OperationDifference

#: What the allocator alone cannot tell.
UNNAMED = "(unnamed)"
#: Which of several allocations of one size is one too many cannot be told from sizes: any of so many around
#: a difference may be meant by it.
AROUND = 4


@dataclass(frozen=True)
class _TwinAllocation:
    """An allocation of the twin.

    `freed_at` is as in `PlainAllocation`; `freed_in` is the operation that runs, or ran last, when it is
    freed.
    """

    operation: StreamOperation
    number: int
    size: int
    freed_at: int | None
    freed_in: str


def unrecorded_differences(plain: Sequence[PlainAllocation], twin: Stream) -> list[Located]:
    """Return what differs between a step of the GPU and one of the twin, named as the twin names it.

    Args:
        plain: allocations of the GPU's step.
        twin: operations of the twin's step.
    """
    ours = _allocations(twin)
    pairs = align(
        [Key(allocation.phase, (allocation.requested_bytes,)) for allocation in plain],
        [Key(allocation.operation.phase, (allocation.size,)) for allocation in ours],
    )
    return [*_other_sizes(plain, ours, pairs), *_other_lifetimes(plain, ours, pairs)]


def mark_explained(recorded: Sequence[Located], unrecorded: Sequence[Located]) -> list[OperationDifference]:
    """Return the recorded differences, each with whether the unrecorded step has none there."""
    wrong = sorted((located.begin, located.end) for located in unrecorded)
    begins = [begin for begin, _ in wrong]

    def explained(located: Located) -> bool:
        index = bisect.bisect_left(begins, located.begin - AROUND)
        return index == len(wrong) or wrong[index][0] > located.end + AROUND

    return [replace(located.difference, explained=explained(located)) for located in recorded]


def _allocations(twin: Stream) -> list[_TwinAllocation]:
    freed: dict[int, tuple[int, str]] = {}
    count = 0
    for operation in twin:
        for number, after in zip(operation.freed, operation.freed_after, strict=True):
            freed[number] = (count + after, operation.name)
        count += len(operation.requested_bytes)
    never = (None, STILL_THERE)
    return [
        _TwinAllocation(operation, number, size, *freed.get(number, never))
        for operation in twin
        for number, size in enumerate(operation.requested_bytes, operation.first)
    ]


def _other_sizes(
    plain: Sequence[PlainAllocation], ours: Sequence[_TwinAllocation], pairs: Sequence[AlignedPair]
) -> Iterator[Located]:
    number = ours[0].number if ours else 0
    for a, b in pairs:
        gpu_bytes = () if a is None else (plain[a].requested_bytes,)
        if b is None:
            assert a is not None
            gpu_only = OperationDifference("gpu only", plain[a].phase, UNNAMED, "", gpu_bytes)
            yield Located(gpu_only, number, number)
            continue
        number = ours[b].number + 1
        if gpu_bytes != (ours[b].size,):
            yield _located(ours[b], "twin only" if a is None else "sizes", gpu_bytes)


def _other_lifetimes(
    plain: Sequence[PlainAllocation], ours: Sequence[_TwinAllocation], pairs: Sequence[AlignedPair]
) -> Iterator[Located]:
    """Yield allocations that both sides make, but do not free between the same two matched ones."""
    matched = [(a, b) for a, b in pairs if a is not None and b is not None]
    sides = [a for a, _ in matched], [b for _, b in matched]
    for a, b in matched:
        if plain[a].requested_bytes != ours[b].size:
            continue
        passed = [
            None if freed_at is None else bisect.bisect_left(side, freed_at)
            for side, freed_at in zip(sides, (plain[a].freed_at, ours[b].freed_at), strict=True)
        ]
        if passed[0] != passed[1]:
            located = _located(ours[b], "freed", (ours[b].size,))
            where = STILL_THERE if passed[0] is None else _operation_at(ours, matched, passed[0])
            difference = replace(located.difference, gpu_freed_in=where, twin_freed_in=ours[b].freed_in)
            yield replace(located, difference=difference)


def _operation_at(ours: Sequence[_TwinAllocation], matched: Sequence[tuple[int, int]], passed: int) -> str:
    """Return the twin's name for what made the last allocation before the free."""
    return ours[matched[passed - 1][1]].operation.name


def _located(allocation: _TwinAllocation, kind: DifferenceKind, gpu_bytes: tuple[int, ...]) -> Located:
    place = allocation.operation
    difference = OperationDifference(
        kind, place.phase, place.name, place.module, gpu_bytes, (allocation.size,)
    )
    return Located(difference, allocation.number, allocation.number + 1)
