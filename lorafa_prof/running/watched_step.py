"""Predicting a cell on its twin with every allocation kept, and what each of its blocks is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.honesty import notes_of
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.block_notes import BlockNote, NotingRecorder
from lorafa_prof.instruments.memory import MemoryProfile
from lorafa_prof.instruments.memory_sim import SimMemoryMeter
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.instruments.timeline import Timeline
from lorafa_prof.running.on_twin import META, run_until_steady
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.cell import Cell


@dataclass(frozen=True)
class WatchedStep:
    """A timeline, and what is known of its blocks.

    Attributes:
        timeline: ends where memory runs out.
        notes: by number of the allocation.
        memory: of the steady step, by the allocator's own counters; None where memory ran out.
    """

    timeline: Timeline
    notes: Mapping[int, BlockNote]
    memory: MemoryProfile | None


def watch_step(
    cell: Cell, capacity_bytes: int | None = None, settings: AllocatorSettings | None = None
) -> WatchedStep:
    """Run the steps that `predict_timeline` runs, and see what each block is for.

    Args:
        cell: its device is the twin of a GPU.
        capacity_bytes: what the allocator can get; None: as much as on that GPU.
        settings: of the allocator; None: as the environment has it.
    """
    twin = Twin(GPUS[cell.device.removeprefix("sim:")], capacity_bytes=capacity_bytes, settings=settings)
    rank = cell.method.options.get("rank")
    recorder = NotingRecorder(twin, [rank] if rank else [])
    twin.mode.memory = recorder
    memory = None
    with twin:
        try:
            timeline, memory = _record(cell, twin, recorder)
        except SimOutOfMemoryError:
            if recorder.failed is None:
                raise
            timeline = recorder.failed
        finally:
            recorder.close()
    # After the steps: they are also of the operations that ran.
    return WatchedStep(replace(timeline, notes=tuple(notes_of(twin, cell))), recorder.notes, memory)


def _record(cell: Cell, twin: Twin, recorder: NotingRecorder) -> tuple[Timeline, MemoryProfile]:
    prepared, step = prepare_step(cell, META)
    paths = ModulePaths(prepared.model)
    recorder.follow(prepared, step.inputs.values(), paths)
    with paths:
        run_until_steady(step, twin, paths, recorder, at_most=cell.steps.warmup)
        meter = SimMemoryMeter(twin.allocator, prepared.model)
        start = recorder.events_so_far
        step.run((recorder, paths, meter))
        # Taken while the model lives: its end is no part of the step.
        return recorder.timeline(steady=(start, recorder.events_so_far)), meter.profile()
