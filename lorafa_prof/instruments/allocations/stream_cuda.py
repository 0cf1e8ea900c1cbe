"""The allocation stream of a run on a CUDA GPU, and of steps that nothing but the allocator watches.

A dispatch mode makes PyTorch itself go another way in places: its fused and in-place forms check
`areAnyTensorSubclassLike`, which is true under any mode. So beside the operations by name, sizes alone are
recorded of a step without the mode; what the two have in common is what the recording did not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.instruments.allocations.operation_log import LoggedOperation, OperationLog
from lorafa_prof.instruments.allocations.stream import PlainAllocation, StreamBuilder, StreamOperation
from lorafa_prof.step import Phase

#: More than any run has: the history is a ring, and what falls out of it would be missed.
MAX_EVENTS = 10_000_000


class CudaStreamRecorder:
    """A context in which the current CUDA device's allocator keeps its history.

    Attributes:
        operations: the mode to enter for recording operations by name; also an observer of the steps.
        plain: the context around one step without that mode; also an observer of the step.
    """

    def __init__(self) -> None:
        self.operations = OperationLog(_position)
        self.plain = PhasePositions()
        self._begin = 0
        self._trace: list[dict[str, Any]] = []

    def __enter__(self) -> CudaStreamRecorder:
        torch.cuda.init()
        self._begin = _position()
        # No stacks: they would cost more than the step, and the operation log knows better where it is.
        torch.cuda.memory._record_memory_history("all", context=None, stacks="python", max_entries=MAX_EVENTS)
        return self

    def __exit__(self, *exc: Any) -> None:
        torch.cuda.memory._record_memory_history(None)

    def stream(self) -> list[StreamOperation]:
        """Return what was recorded by name; call it inside the context, after `operations` has been left."""
        log = self.operations
        return stream_of(log.operations, self._events()[: log.end - self._begin], self._begin)

    def plain_step(self) -> list[PlainAllocation]:
        """Return the allocations of the step that `plain` observed; call it inside the context."""
        starts = [(phase, position - self._begin) for phase, position in self.plain.starts]
        return plain_allocations(starts, self._events()[: self.plain.end - self._begin])

    def _events(self) -> list[dict[str, Any]]:
        counted = _position() - self._begin
        if len(self._trace) != counted:
            snapshot = torch.cuda.memory._snapshot()
            self._trace = requests_in(snapshot["device_traces"][torch.cuda.current_device()])
        if len(self._trace) != counted:
            raise LorafaProfError(
                f"the allocator counted {counted} allocations and frees; its history has {len(self._trace)}"
            )
        return self._trace


class PhasePositions:
    """A context around one step, and an observer of it, that counts allocator events.

    Attributes:
        starts: each phase, and how many events the allocator had counted before it.
        end: how many it had counted when the context was left.
    """

    def __init__(self) -> None:
        self.starts: list[tuple[Phase, int]] = []
        self.end = 0

    def __enter__(self) -> PhasePositions:
        return self

    def __exit__(self, *exc: Any) -> None:
        # Not when the last phase ends: the loss dies only now.
        self.end = _position()

    def phase_started(self, phase: Phase) -> None:
        """Note how many events came before the phase."""
        self.starts.append((phase, _position()))

    def phase_ended(self, phase: Phase) -> None:
        """Leave the phase as it is: what comes before the next phase still belongs to this one."""


def requests_in(trace: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the allocations and frees in a device's trace: those that `_position` counts, in order."""
    return [dict(event) for event in trace if event["action"] in ("alloc", "free_requested")]


def stream_of(
    operations: Sequence[LoggedOperation], events: Sequence[Mapping[str, Any]], begin: int = 0
) -> list[StreamOperation]:
    """Return the stream of `operations`, with the events that came while each ran or before the next.

    Args:
        operations: the logged operations, in their order.
        events: what `requests_in` returned, up to the recording's end.
        begin: position of the first event.
    """
    builder = StreamBuilder()
    by_address: dict[int, int] = {}

    def add(event: Mapping[str, Any]) -> None:
        if event["action"] == "alloc":
            by_address[event["addr"]] = builder.alloc(event["size"], event["addr"])
        elif event["addr"] in by_address:
            builder.free(by_address.pop(event["addr"]))

    starts = [*(operation.start - begin for operation in operations), len(events)]
    for event in events[: starts[0]]:
        add(event)
    for operation, next_start in zip(operations, starts[1:], strict=True):
        builder.operation(operation.step, operation.phase, operation.module, operation.name)
        end = operation.end - begin
        for event in events[operation.start - begin : end]:
            add(event)
        if any(event["action"] == "alloc" for event in events[end:next_start]):
            builder.outside()
        for event in events[end:next_start]:
            add(event)
    return builder.stream()


def plain_allocations(
    starts: Sequence[tuple[str, int]], events: Sequence[Mapping[str, Any]]
) -> list[PlainAllocation]:
    """Return the allocations of a step.

    Args:
        starts: each phase of the step, with the number of events before it.
        events: what `requests_in` returned, up to the step's end.
    """
    phases: list[str] = []
    sizes: list[int] = []
    freed_at: dict[int, int] = {}
    by_address: dict[int, int] = {}
    ends = [start for _, start in starts[1:]]
    for (phase, start), end in zip(starts, [*ends, len(events)], strict=True):
        for event in events[start:end]:
            if event["action"] == "alloc":
                by_address[event["addr"]] = len(sizes)
                phases.append(phase)
                sizes.append(event["size"])
            elif event["addr"] in by_address:
                freed_at[by_address.pop(event["addr"])] = len(sizes)
    return [
        PlainAllocation(phase, size, freed_at.get(number))
        for number, (phase, size) in enumerate(zip(phases, sizes, strict=True))
    ]


def _position() -> int:
    """Return how many allocations and frees the allocator has counted.

    The count is kept on the host, so nothing waits for the device.
    """
    counted = torch.cuda.memory_stats_as_nested_dict()["allocation"]["all"]
    return int(counted["allocated"] + counted["freed"])
