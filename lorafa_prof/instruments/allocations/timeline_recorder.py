"""Recording a `Timeline`: a recorder between the twin and its allocator that also observes the steps."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from lorafa_prof.devices.sim.allocator import SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.log import AllocationEvent, AllocationLog, LoggedBlock, Place
from lorafa_prof.instruments.allocations.segment_log import SegmentLog
from lorafa_prof.instruments.allocations.timeline import OutOfMemory, PhaseSpan, Timeline, states_of
from lorafa_prof.instruments.memory.storages import model_tensors, optimizer_tensors, state_tensors
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.instruments.user_line import lines_here
from lorafa_prof.methods.base import Prepared
from lorafa_prof.optim.in_backward import UpdatesInBackward
from lorafa_prof.parts import BlockKind
from lorafa_prof.step import Phase, PhaseTracker


class TimelineRecorder(PhaseTracker):
    """Stands between a twin and its allocator, and observes every step, to record a `Timeline`.

    Attributes:
        failed: the timeline up to where memory ran out; None as long as it did not.
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
        """Name modules from here on, and note the kinds of weights and inputs.

        To be called when the model is built.
        """
        self._prepared, self._paths = prepared, paths
        self._note("weights", model_tensors(prepared.model))
        self._note("inputs", inputs)
        self._note("optimizer", prepared.optimizer_tensors)
        if isinstance(prepared.optimizer, UpdatesInBackward):
            prepared.optimizer.before_update.append(self._gradient_noter())

    def malloc(self, requested_bytes: int) -> LoggedBlock:
        """Return a block of at least `requested_bytes` from the allocator, and record it.

        Raises:
            SimOutOfMemoryError: the device has no room for it; the error names module and operation.
        """
        before = self.events_so_far
        try:
            held = self._log.malloc(requested_bytes)
        except SimOutOfMemoryError as error:
            place = self._place()
            self._segments.look(None, before, place)
            located = error.at(place.module, place.operation)
            # Now, since all that lives dies on the error's way up.
            self.failed = self.timeline(out_of_memory=OutOfMemory(located, place))
            raise located from None
        if held.size:
            self._segments.look(held.address, before, self._log.events[-1].place)
        if self._twin.mode.in_kernel:
            self._kinds[held.number] = "workspaces"
        return held

    def free(self, held: LoggedBlock) -> None:
        """Give a block back to the allocator, and record it."""
        self._log.free(held)

    def phase_started(self, phase: Phase) -> None:
        """Note the event at which the phase starts."""
        super().phase_started(phase)
        self._phase_start = self.events_so_far

    def phase_ended(self, phase: Phase) -> None:
        """Note the event at which the phase ends, and the kinds of gradients and optimizer state."""
        assert self._prepared is not None
        self._spans.append(PhaseSpan(self.step, phase, self._phase_start, self.events_so_far))
        model, optimizer = self._prepared.model, self._prepared.optimizer
        if phase == "forward":
            self._note("other", state_tensors(model))
        if phase == "backward":
            self._note("gradients", (p.grad for p in model.parameters() if p.grad is not None))
        if phase == "optimizer":
            self._note("optimizer", optimizer_tensors(optimizer, "cuda"))

    def close(self) -> None:
        """Stop watching; needed if a step did not end."""

    def timeline(
        self, *, steady: tuple[int, int] | None = None, out_of_memory: OutOfMemory | None = None
    ) -> Timeline:
        """Return what was recorded so far; what happens later is not in it."""
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

    def _gradient_noter(self) -> Callable[[nn.Parameter], None]:
        """Return what notes a parameter's gradient while it lives; it does not hold this recorder."""
        this = weakref.ref(self)

        def note(parameter: nn.Parameter) -> None:
            recorder = this()
            if recorder is not None and parameter.grad is not None:
                recorder.gradient_formed(parameter, parameter.grad)

        return note

    def gradient_formed(self, parameter: nn.Parameter, gradient: Tensor) -> None:
        """Note the kind of a gradient that will not live until backward ends."""
        del parameter
        self._note("gradients", (gradient,))

    def _place(self) -> Place:
        path = self._paths.path if self._paths is not None else ""
        operation = str(self._twin.mode.operation or "")
        return Place(self.step, self.phase, path, operation, line=lines_here())

    def _note(self, kind: BlockKind, tensors: Iterable[Tensor]) -> None:
        """Note the kind of the tensors' blocks, except where one is noted already.

        So a tied weight stays a weight, whoever else holds it.
        """
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
    """Return the kind of every allocation; for those not in `known` it follows from when they live.

    What is born in a forward and alive at its end is an activation, and so is what an evaluation collects of
    its batches; what else is born in a step is temporary.
    The rest, which is not `known` and was there before the event `born_from`, is "other" if it is alive then.
    """
    kinds = dict(known)
    for span in spans:
        if span.phase in ("forward", "collect"):
            for number in _left_of(events[span.start : span.end]):
                kinds.setdefault(number, "activations")
    for number in _left_of(events[:born_from]):
        kinds.setdefault(number, "other")
    for event in events:
        kinds.setdefault(event.allocation, "temporaries")
    return kinds


def _left_of(events: Iterable[AllocationEvent]) -> set[int]:
    """Return the allocations among `events` that are not freed in them."""
    left: set[int] = set()
    for event in events:
        if event.kind == "alloc":
            left.add(event.allocation)
        else:
            left.discard(event.allocation)
    return left
