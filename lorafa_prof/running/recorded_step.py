"""Predicting a cell on its twin with every allocation kept, and what each of its blocks is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.block_notes import BlockNote, NotingRecorder
from lorafa_prof.instruments.allocations.timeline import Timeline
from lorafa_prof.instruments.allocations.timeline_recorder import TimelineRecorder
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.instruments.memory.sim import SimMemoryMeter
from lorafa_prof.running.on_twin import BuiltOnTwin, TwinWatch, make_twin, noting, run_on_twin
from lorafa_prof.step import Observer


@dataclass(frozen=True)
class RecordedStep:
    """A timeline, and what is known of its blocks.

    Attributes:
        timeline: ends where memory runs out.
        notes: by number of the allocation.
        memory: of the steady step, by the allocator's own counters; None where memory ran out.
    """

    timeline: Timeline
    notes: Mapping[int, BlockNote]
    memory: MemoryProfile | None


def predict_timeline(cell: Cell, settings: AllocatorSettings | None = None) -> Timeline:
    """Build the cell on its twin, run steps until nothing changes any more, then one more: the steady step.

    These are the steps that `run` predicts memory by, so their peak is `peak_allocated_bytes`. Where memory
    runs out, the timeline ends there.

    Args:
        cell: its device is the twin of a GPU.
        settings: of the allocator; None: as the environment has it.
    """
    twin = make_twin(cell, settings=settings)
    timeline, _ = _recorded(cell, twin, TimelineRecorder(twin))
    return timeline


def record_step(
    cell: Cell, capacity_bytes: int | None = None, settings: AllocatorSettings | None = None
) -> RecordedStep:
    """Run the steps that `predict_timeline` runs, and see what each block is for.

    Args:
        cell: its device is the twin of a GPU.
        capacity_bytes: what the allocator can get; None: as much as on that GPU.
        settings: of the allocator; None: as the environment has it.
    """
    twin = make_twin(cell, settings=settings, capacity_bytes=capacity_bytes)
    rank = cell.method.options.get("rank")
    recorder = NotingRecorder(twin, [rank] if rank else [])
    timeline, memory = _recorded(cell, twin, recorder)
    return RecordedStep(timeline, recorder.notes, memory)


def _recorded(cell: Cell, twin: Twin, recorder: TimelineRecorder) -> tuple[Timeline, MemoryProfile | None]:
    twin.mode.memory = recorder
    watch = _RecordingWatch(recorder)
    notes: list[str] = []
    memory = None
    with noting(twin, cell, notes):
        try:
            # Held while the timeline is taken: the model's end is no part of the step.
            built = run_on_twin(cell, twin, watch)
            timeline, memory = watch.result()
            del built
        except SimOutOfMemoryError:
            if recorder.failed is None:
                raise
            timeline = recorder.failed
        finally:
            recorder.close()
    return replace(timeline, notes=tuple(notes)), memory


class _RecordingWatch(TwinWatch):
    """Lets a recorder follow the steps, and meters the steady one."""

    def __init__(self, recorder: TimelineRecorder) -> None:
        self.observers = (recorder,)
        self._recorder = recorder
        self._meter: SimMemoryMeter | None = None
        self._start = 0

    def built(self, built: BuiltOnTwin) -> None:
        """Modules and weights are known from here on."""
        self._recorder.follow(built.prepared, built.step.inputs.values(), built.paths)

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """The steady step starts here."""
        self._meter = SimMemoryMeter(built.twin.allocator, built.prepared.model)
        self._start = self._recorder.events_so_far
        return (self._meter,)

    def result(self) -> tuple[Timeline, MemoryProfile]:
        """Of the steady step, which ran to its end."""
        assert self._meter is not None
        steady = (self._start, self._recorder.events_so_far)
        return self._recorder.timeline(steady=steady), self._meter.profile()
