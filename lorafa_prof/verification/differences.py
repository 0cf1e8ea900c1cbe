"""Where operations of the GPU and of the twin ask their allocators for different things."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorafa_prof.instruments.allocations.stream import Stream, StreamOperation
from lorafa_prof.verification.align import AlignedPair, Key, align

DifferenceKind = Literal["gpu only", "twin only", "sizes", "freed"]
#: Of a group, so many modules are named.
MODULES_NAMED = 2
STILL_THERE = "(not in what was compared)"


@dataclass(frozen=True)
class OperationDifference:
    """One operation, or the place of one, at which the two sides differ.

    Attributes:
        kind: only one side has it; both have it with other sizes; or what it made is freed elsewhere.
        phase: phase of the step.
        operation: name of the operation.
        module: path of the module; the twin's if both sides have the operation.
        gpu_bytes: bytes requested for each of its allocations on the GPU.
        twin_bytes: bytes requested for each of its allocations on the twin.
        gpu_freed_in: for "freed" only: the operation that runs, or ran last, when the GPU frees it.
        twin_freed_in: for "freed" only: the operation that runs, or ran last, when the twin frees it.
        explained: whether the recording causes it, so that without it the GPU does as the twin; None: not
            known.
    """

    kind: DifferenceKind
    phase: str
    operation: str
    module: str
    gpu_bytes: tuple[int, ...] = ()
    twin_bytes: tuple[int, ...] = ()
    gpu_freed_in: str | None = None
    twin_freed_in: str | None = None
    explained: bool | None = None


@dataclass(frozen=True)
class Group:
    """Differences that are equal but for their modules.

    Attributes:
        difference: the first of them.
        count: how many there are.
        modules: paths of the first two modules.
    """

    difference: OperationDifference
    count: int
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Located:
    """A difference, and the numbers of the twin's allocations that it is about or stands before."""

    difference: OperationDifference
    begin: int
    end: int


def grouped(differences: Iterable[OperationDifference]) -> list[Group]:
    """Return equal differences as groups, in the order of the first of each."""
    groups: dict[OperationDifference, list[OperationDifference]] = defaultdict(list)
    for difference in differences:
        groups[replace(difference, module="")].append(difference)
    return [
        Group(alike[0], len(alike), tuple(dict.fromkeys(d.module for d in alike))[:MODULES_NAMED])
        for alike in groups.values()
    ]


def step_differences(gpu: Stream, twin: Stream) -> list[Located]:
    """Return what differs between the operations of the GPU and the twin in one step, or in the build."""
    sides = (_allocating(gpu), _allocating(twin))
    pairs = align([_key(operation) for operation in sides[0]], [_key(operation) for operation in sides[1]])
    matched = [(sides[0][a], sides[1][b]) for a, b in pairs if a is not None and b is not None]
    return [*_of_pairs(*sides, pairs), *_freed_elsewhere(gpu, twin, matched)]


def _allocating(stream: Stream) -> list[StreamOperation]:
    return [operation for operation in stream if operation.requested_bytes]


def _key(operation: StreamOperation) -> Key:
    return Key(f"{operation.phase} {operation.name}", operation.requested_bytes)


def _of_pairs(
    gpu: Sequence[StreamOperation], twin: Sequence[StreamOperation], pairs: Sequence[AlignedPair]
) -> Iterator[Located]:
    behind = twin[0].first if twin else 0
    for a, b in pairs:
        begin = behind
        if b is not None:
            begin, behind = twin[b].first, twin[b].first + len(twin[b].requested_bytes)
        if a is not None and b is not None:
            if gpu[a].requested_bytes == twin[b].requested_bytes:
                continue
            kind: DifferenceKind = "sizes"
        else:
            kind = "twin only" if a is None else "gpu only"
        yield Located(_difference(kind, _at(gpu, a), _at(twin, b)), begin, behind)


def _at(side: Sequence[StreamOperation], index: int | None) -> StreamOperation | None:
    return None if index is None else side[index]


def _difference(
    kind: DifferenceKind, gpu: StreamOperation | None, twin: StreamOperation | None
) -> OperationDifference:
    operation = twin or gpu
    assert operation is not None
    return OperationDifference(
        kind,
        operation.phase,
        operation.name,
        operation.module,
        gpu_bytes=gpu.requested_bytes if gpu else (),
        twin_bytes=twin.requested_bytes if twin else (),
    )


def _freed_elsewhere(
    gpu: Stream, twin: Stream, matched: Sequence[tuple[StreamOperation, StreamOperation]]
) -> Iterator[Located]:
    """Yield allocations that are the same on both sides, but are not freed by the same matched operation."""
    gpu_frees = _frees(gpu, [a for a, _ in matched])
    twin_frees = _frees(twin, [b for _, b in matched])
    never = (-1, STILL_THERE)
    for a, b in matched:
        if a.requested_bytes != b.requested_bytes:
            continue
        for index, size in enumerate(a.requested_bytes):
            by_gpu = gpu_frees.get(a.first + index, never)
            by_twin = twin_frees.get(b.first + index, never)
            if by_gpu[0] != by_twin[0]:
                difference = replace(
                    _difference("freed", a, b),
                    gpu_bytes=(size,),
                    twin_bytes=(size,),
                    gpu_freed_in=by_gpu[1],
                    twin_freed_in=by_twin[1],
                )
                yield Located(difference, b.first + index, b.first + index + 1)


def _frees(stream: Stream, matched: Sequence[StreamOperation]) -> dict[int, tuple[int, str]]:
    """Return when each allocation is freed, by its number.

    That is after how many matched operations, and the name of the operation that then runs or ran last.
    """
    begins = {operation.first: index for index, operation in enumerate(matched)}
    frees = {}
    passed = -1
    for operation in stream:
        if operation.requested_bytes:
            passed = begins.get(operation.first, passed)
        frees.update(dict.fromkeys(operation.freed, (passed, operation.name)))
    return frees
