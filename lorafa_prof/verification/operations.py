"""Where a cell's allocation streams differ, or those of each of its ranks: groups of operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.allocations.stream import PlainAllocation, Stream, steps_of
from lorafa_prof.verification.differences import Group, OperationDifference, grouped, step_differences
from lorafa_prof.verification.unrecorded import mark_explained, unrecorded_differences

#: The part that counts; the others name what it cannot.
UNRECORDED = "unrecorded"

GroupRows = list[dict[str, Any]]
"""Groups of differing operations in values for JSON; those of a rank say which, as ``rank``."""


@dataclass(frozen=True)
class Trace:
    """Allocation streams on the GPU, of a cell or of one of its ranks.

    Attributes:
        stream: operations by name, of building, the first step and the last.
        plain: allocations of one more step, which was not recorded by name.
    """

    stream: Stream
    plain: Sequence[PlainAllocation]


class Streams(NamedTuple):
    """The allocation streams of both sides; `rank` is which of several they are of, None of one GPU."""

    twin: Stream
    gpu: Trace
    rank: int | None = None


def measured_steps(stream: Stream, cell: Cell) -> range:
    """Return the numbers of the last steps in `stream`, which were measured."""
    last = stream[-1].step
    return range(last + 1 - max(1, len(cell.lengths)), last + 1)


def differing_operations(streams: Iterable[Streams], cell: Cell) -> dict[str, GroupRows]:
    """Return groups of differing operations by part of the run, of one rank after the other."""
    operations: dict[str, GroupRows] = {}
    for each in streams:
        for name, part in _parts(each.gpu, each.twin, cell).items():
            rows = [_group_row(group, each.rank) for group in grouped(part)]
            operations.setdefault(name, []).extend(rows)
    return operations


def differing_allocations(operations: Mapping[str, GroupRows]) -> int:
    """Return how many allocations of a step differ, on the rank where most do."""
    by_rank: Counter[int | None] = Counter()
    for group in operations[UNRECORDED]:
        by_rank[group.get("rank")] += group["count"]
    return max(by_rank.values(), default=0)


def _parts(gpu: Trace, twin: Stream, cell: Cell) -> dict[str, Sequence[OperationDifference]]:
    ours = steps_of(twin, measured_steps(twin, cell))
    unrecorded = unrecorded_differences(gpu.plain, ours)
    recorded = step_differences(steps_of(gpu.stream, measured_steps(gpu.stream, cell)), ours)
    parts: dict[str, Sequence[OperationDifference]] = {
        UNRECORDED: [located.difference for located in unrecorded],
        "step": mark_explained(recorded, unrecorded),
    }
    for name, step in (("build", 0), ("first step", 1)):
        differences = step_differences(steps_of(gpu.stream, [step]), steps_of(twin, [step]))
        parts[name] = [located.difference for located in differences]
    return parts


def _group_row(group: Group, rank: int | None) -> dict[str, Any]:
    row: dict[str, Any] = asdict(group.difference)
    del row["module"]
    row |= {"count": group.count, "modules": list(group.modules), "rank": rank}
    return {name: value for name, value in row.items() if value is not None}
