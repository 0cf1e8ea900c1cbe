"""Recording a `Timeline`: stands between the twin and its allocator, and watches the step."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from lorafa_prof.devices.sim.allocator import SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.log import AllocationEvent, AllocationLog, LoggedBlock, Place
from lorafa_prof.instruments.allocations.segment_log import SegmentLog
from lorafa_prof.instruments.allocations.timeline import OutOfMemory, PhaseSpan, Timeline, states_of
from lorafa_prof.instruments.memory.storages import model_tensors, optimizer_tensors
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.methods.base import Prepared
from lorafa_prof.parts import BlockKind
from lorafa_prof.step import Phase, PhaseTracker


class TimelineRecorder(PhaseTracker):
    """The memory of a twin, and an observer of every step that runs on it.

    Attributes:
        failed: the timeline up to where memory ran out, once it did.
    """

    def __init__(self, twin: Twin) -> None:
        super().__init__()
        self.failed: Timeline | None = None
        self._twin = twin
        self._log = AllocationLog(twin.allocator, self._place)
        self._segments = SegmentLog(twin.allocator)
        self._kinds: dict[int, BlockKind] = {}
        self._spans: list[PhaseSpan] = []
        self._phase_start = 0
        self._prepared: Prepared | None = None
        self._paths: ModulePaths | None = None

    @property
    def events_so_far(self) -> int:
        """How many allocations and frees there were."""
        return len(self._log.events)

    def follow(self, prepared: Prepared, inputs: Iterable[Tensor], paths: ModulePaths) -> None:
        """The model is built: from here on modules are named, and weights and inputs told from the rest."""
        self._prepared, self._paths = prepared, paths
        self._note("weights", model_tensors(prepared.model))
        self._note("inputs", inputs)
        self._note("optimizer", prepared.optimizer_tensors)

    def malloc(self, requested_bytes: int) -> LoggedBlock:
        """As the allocator does.

        Raises:
            SimOutOfMemoryError: as the allocator's; it names module and operation.
        """
        before = self.events_so_far
        try:
            held = self._log.malloc(requested_bytes)
        except SimOutOfMemoryError as error:
            place = self._place()
            self._segments.look(None, before, place)
            told = error.at(place.module, place.operation)
            # Now, since all that lives dies on the error's way up.
            self.failed = self.timeline(out_of_memory=OutOfMemory(told, place))
            raise told from None
        if held.size:
            self._segments.look(held.address, before, self._log.events[-1].place)
        if self._twin.mode.in_kernel:
            self._kinds[held.number] = "workspaces"
        return held

    def free(self, held: LoggedBlock) -> None:
        """As the allocator does."""
        self._log.free(held)

    def phase_started(self, phase: Phase) -> None:
        """Note where it starts."""
        super().phase_started(phase)
        self._phase_start = self.events_so_far

    def phase_ended(self, phase: Phase) -> None:
        """Note where it ends, and what the tensors that are there now are for."""
        assert self._prepared is not None
        self._spans.append(PhaseSpan(self.step, phase, self._phase_start, self.events_so_far))
        model, optimizer = self._prepared.model, self._prepared.optimizer
        if phase == "backward":
            self._note("gradients", (p.grad for p in model.parameters() if p.grad is not None))
        if phase == "optimizer":
            self._note("optimizer", optimizer_tensors(optimizer, "meta"))

    def close(self) -> None:
        """Stop watching; needed where a step did not end."""

    def timeline(
        self, *, steady: tuple[int, int] | None = None, out_of_memory: OutOfMemory | None = None
    ) -> Timeline:
        """What was recorded; what happens later is not in it."""
        events = tuple(self._log.events)
        first = steady[0] if steady is not None else len(events)
        return Timeline(
            events=events,
            segment_events=tuple(self._segments.events),
            spans=tuple(self._spans),
            kinds=all_kinds(events, self._spans, self._kinds, born_from=first),
            segments=states_of(self._twin.allocator),
            settings=self._twin.settings,
            steady=steady,
            out_of_memory=out_of_memory,
        )

    def _place(self) -> Place:
        path = self._paths.path if self._paths is not None else ""
        return Place(self.step, self.phase, path, str(self._twin.mode.operation or ""))

    def _note(self, kind: BlockKind, tensors: Iterable[Tensor]) -> None:
        """What is known already stays: a tied weight is a weight, whoever else holds it."""
        for tensor in tensors:
            held = self._twin.mode.block_of(tensor)
            if held is not None:
                self._kinds.setdefault(held.number, kind)


def all_kinds(
    events: tuple[AllocationEvent, ...],
    spans: Iterable[PhaseSpan],
    known: dict[int, BlockKind],
    *,
    born_from: int,
) -> dict[int, BlockKind]:
    """The kind of every allocation: what is not `known` is told by when it lives.

    What is born in a forward and alive at its end is an activation; what else is born in a step is temporary.
    The rest, which is not `known` and was there before the event `born_from`, is "other" if it is alive then.
    """
    kinds = dict(known)
    for span in spans:
        if span.phase == "forward":
            for number in _left_of(events[span.start : span.end]):
                kinds.setdefault(number, "activations")
    for number in _left_of(events[:born_from]):
        kinds.setdefault(number, "other")
    for event in events:
        kinds.setdefault(event.allocation, "temporaries")
    return kinds


def _left_of(events: Iterable[AllocationEvent]) -> set[int]:
    """Allocations among `events` without their free."""
    left: set[int] = set()
    for event in events:
        if event.kind == "alloc":
            left.add(event.allocation)
        else:
            left.discard(event.allocation)
    return left
