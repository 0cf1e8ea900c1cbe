"""The allocation stream of a run on the twin."""

from __future__ import annotations

from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.log import AllocationLog, Place
from lorafa_prof.instruments.allocations.stream import OUTSIDE, StreamBuilder, StreamOperation
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.step import Observer, Phase, PhaseTracker


class SimStreamRecorder(PhaseTracker):
    """Records the allocation stream: stands between a twin and its allocator, and observes the steps.

    It has no dispatch mode of its own: the twin tells by a tensor's references whether it is free, and a
    second mode would be one more.

    Args:
        twin: a twin on which nothing has run yet.
        tracker: another observer, which is notified of the phases too.
    """

    def __init__(self, twin: Twin, tracker: Observer) -> None:
        super().__init__()
        self._twin = twin
        self._tracker = tracker
        self._log = AllocationLog(twin.mode.memory, self._place)
        self._paths: ModulePaths | None = None
        twin.mode.memory = self._log

    def follow(self, paths: ModulePaths) -> None:
        """Record the names of modules from here on; to be called when the model is built."""
        self._paths = paths

    def phase_started(self, phase: Phase) -> None:
        """Count requests into this phase from now on, and notify the tracker."""
        super().phase_started(phase)
        self._tracker.phase_started(phase)

    def phase_ended(self, phase: Phase) -> None:
        """Notify the tracker; what comes before the next phase still belongs to this one."""
        self._tracker.phase_ended(phase)

    def stream(self) -> list[StreamOperation]:
        """Return what was recorded so far.

        Call it while the model lives: the model's end is no part of a step.
        """
        builder = StreamBuilder()
        numbers: list[int] = []
        running = -1
        for event in self._log.events:
            place = event.place
            if place.number != running:
                builder.operation(place.step, place.phase, place.module, place.operation)
                running = place.number
            if event.kind == "alloc":
                numbers.append(builder.alloc(event.requested_bytes, event.address))
            else:
                builder.free(numbers[event.allocation])
        return builder.stream()

    def _place(self) -> Place:
        mode = self._twin.mode
        path = self._paths.path if self._paths is not None else ""
        name = OUTSIDE if mode.operation is None else str(mode.operation)
        return Place(self.step, self.phase, path, name, mode.number)
