"""The twin against a step of the GPU that nothing but the allocator watched: sizes and lifetimes alone.

This is what counts: a recording by name makes PyTorch go another way in places.
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
class _Ours:
    """An allocation of the twin; `freed_at` as of `PlainAllocation`, `freed_in` what then runs."""

    operation: StreamOperation
    number: int
    size: int
    freed_at: int | None
    freed_in: str


def unrecorded_differences(plain: Sequence[PlainAllocation], twin: Stream) -> list[Located]:
    """What differs between a step of the GPU and the twin's, named as the twin names it.

    Args:
        plain: the allocations of the GPU's step.
        twin: the operations of the twin's.
    """
    ours = _allocations(twin)
    pairs = align(
        [Key(one.phase, (one.requested_bytes,)) for one in plain],
        [Key(one.operation.phase, (one.size,)) for one in ours],
    )
    return [*_other_sizes(plain, ours, pairs), *_other_lifetimes(plain, ours, pairs)]


def mark_explained(recorded: Sequence[Located], unrecorded: Sequence[Located]) -> list[OperationDifference]:
    """The recorded differences, each told whether the unrecorded step has one there too."""
    wrong = sorted((one.begin, one.end) for one in unrecorded)
    begins = [begin for begin, _ in wrong]

    def explained(one: Located) -> bool:
        index = bisect.bisect_left(begins, one.begin - AROUND)
        return index == len(wrong) or wrong[index][0] > one.end + AROUND

    return [replace(one.difference, explained=explained(one)) for one in recorded]


def _allocations(twin: Stream) -> list[_Ours]:
    freed: dict[int, tuple[int, str]] = {}
    count = 0
    for operation in twin:
        for number, after in zip(operation.freed, operation.freed_after, strict=True):
            freed[number] = (count + after, operation.name)
        count += len(operation.requested_bytes)
    never = (None, STILL_THERE)
    return [
        _Ours(operation, number, size, *freed.get(number, never))
        for operation in twin
        for number, size in enumerate(operation.requested_bytes, operation.first)
    ]


def _other_sizes(
    plain: Sequence[PlainAllocation], ours: Sequence[_Ours], pairs: Sequence[AlignedPair]
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
    plain: Sequence[PlainAllocation], ours: Sequence[_Ours], pairs: Sequence[AlignedPair]
) -> Iterator[Located]:
    """Allocations that both sides make, but do not free between the same two of these."""
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
            told = replace(located.difference, gpu_freed_in=where, twin_freed_in=ours[b].freed_in)
            yield replace(located, difference=told)


def _operation_at(ours: Sequence[_Ours], matched: Sequence[tuple[int, int]], passed: int) -> str:
    """The twin's name for what made the last allocation before the free."""
    return ours[matched[passed - 1][1]].operation.name


def _located(one: _Ours, kind: DifferenceKind, gpu_bytes: tuple[int, ...]) -> Located:
    place = one.operation
    difference = OperationDifference(kind, place.phase, place.name, place.module, gpu_bytes, (one.size,))
    return Located(difference, one.number, one.number + 1)
