"""Predicting a cell on its twin with every allocation kept."""

from __future__ import annotations

from dataclasses import replace

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.honesty import notes_of
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.instruments.timeline import Timeline
from lorafa_prof.instruments.timeline_recorder import TimelineRecorder
from lorafa_prof.running.on_twin import META, run_until_steady
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.cell import Cell


def predict_timeline(cell: Cell, settings: AllocatorSettings | None = None) -> Timeline:
    """Build the cell on its twin, run steps until nothing changes any more, then one more: the steady step.

    These are the steps of `predict_on_twin` up to its memory pass, so their peak is `peak_allocated_bytes`.
    Where memory runs out, the timeline ends there.

    Args:
        cell: its device is the twin of a GPU.
        settings: of the allocator; None: as the environment has it.
    """
    twin = Twin(GPUS[cell.device.removeprefix("sim:")], settings=settings)
    recorder = TimelineRecorder(twin)
    twin.mode.memory = recorder
    with twin:
        try:
            timeline = _record(cell, twin, recorder)
        except SimOutOfMemoryError:
            if recorder.failed is None:
                raise
            timeline = recorder.failed
        return replace(timeline, notes=tuple(notes_of(twin, cell)))


def _record(cell: Cell, twin: Twin, recorder: TimelineRecorder) -> Timeline:
    prepared, step = prepare_step(cell, META)
    paths = ModulePaths(prepared.model)
    recorder.follow(prepared, step.inputs.values(), paths)
    with paths:
        run_until_steady(step, twin, paths, recorder, at_most=cell.steps.warmup)
        start = recorder.events_so_far
        step.run((recorder, paths))
        # Taken while the model lives: its end is no part of the step.
        return recorder.timeline(steady=(start, recorder.events_so_far))
