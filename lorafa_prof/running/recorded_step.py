"""Predicting a cell on its twin with a record of every allocation and of what each block is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.allocations.block_notes import BlockNote, NotingRecorder
from lorafa_prof.instruments.allocations.timeline import Timeline
from lorafa_prof.instruments.allocations.timeline_recorder import TimelineRecorder
from lorafa_prof.instruments.memory.profile import MemoryMeter, MemoryProfile
from lorafa_prof.running.on_twin import BuiltOnTwin, TwinWatch, make_twin, meter_on, noting, run_on_twin
from lorafa_prof.step import Observer


@dataclass(frozen=True)
class RecordedStep:
    """A timeline, notes on its blocks, and the memory of its steady step.

    Attributes:
        timeline: every allocation; it ends where memory runs out.
        notes: what is known of each block, by number of the allocation.
        memory: memory of the steady step, by the allocator's own counters; None if memory ran out.
    """

    timeline: Timeline
    notes: Mapping[int, BlockNote]
    memory: MemoryProfile | None


def predict_timeline(cell: Cell, settings: AllocatorSettings | None = None) -> Timeline:
    """Return the timeline of a cell on its twin: building, steps until it is steady, and one steady step.

    These are the steps that `run` predicts memory by, so their peak is `peak_allocated_bytes`. Where memory
    runs out, the timeline ends there.

    Args:
        cell: a cell whose device is the twin of a GPU.
        settings: options of the allocator; None: those in this process's environment.
    """
    twin = make_twin(cell, settings=settings)
    timeline, _ = _recorded(cell, twin, TimelineRecorder(twin))
    return timeline


def record_step(
    cell: Cell, capacity_bytes: int | None = None, settings: AllocatorSettings | None = None
) -> RecordedStep:
    """Run the steps that `predict_timeline` runs, and record what each block is for.

    Args:
        cell: a cell whose device is the twin of a GPU.
        capacity_bytes: bytes that the allocator can get; None: as many as on that GPU.
        settings: options of the allocator; None: those in this process's environment.
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
    """A watch that lets a recorder follow the steps, and meters the steady one."""

    def __init__(self, recorder: TimelineRecorder) -> None:
        self.observers = (recorder,)
        self._recorder = recorder
        self._meter: MemoryMeter | None = None
        self._start = 0

    def built(self, built: BuiltOnTwin) -> None:
        """Let the recorder name modules and weights from here on."""
        self._recorder.follow(built.prepared, built.step.inputs.values(), built.paths)

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """Note the event at which the steady step starts, and return the step's meter."""
        self._meter = meter_on(built)
        self._start = self._recorder.events_so_far
        return (self._meter,)

    def result(self) -> tuple[Timeline, MemoryProfile]:
        """Return timeline and memory of the steady step; to be called after it."""
        assert self._meter is not None
        steady = (self._start, self._recorder.events_so_far)
        return self._recorder.timeline(steady=steady), self._meter.profile()
