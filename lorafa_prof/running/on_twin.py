"""Predicting a cell on the twin of a GPU: the same passes, and no clock."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import Block, SimOutOfMemoryError
from lorafa_prof.devices.sim.honesty import notes_of
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.flops import FlopCounter
from lorafa_prof.instruments.memory_sim import SimMemoryMeter
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.methods.base import Prepared
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.passes import note_model, note_optimizer, saved_observer, timed
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.cell import Cell
from lorafa_prof.step import PhaseTracker, TrainingStep

META = torch.device("meta")


def predict_on_twin(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Build, run steps until nothing changes any more, then one step for memory and one to explain it.

    Raises:
        SimOutOfMemoryError: the GPU has too little memory; it names module and operation.
    """
    twin = Twin(GPUS[cell.device.removeprefix("sim:")])
    with twin:
        try:
            _predict(cell, twin, measured, tracker)
        finally:
            measured.notes.extend(notes_of(twin, cell))


def _predict(cell: Cell, twin: Twin, measured: Measured, tracker: PhaseTracker) -> None:
    with timed(measured, "build"):
        prepared, step = prepare_step(cell, META)
    note_model(prepared, step, measured)
    paths = ModulePaths(prepared.model)
    twin.mode.memory = _Placing(twin, paths)
    with paths:
        with timed(measured, "warmup"):
            run_until_steady(step, twin, paths, tracker, at_most=cell.steps.warmup)
        note_optimizer(prepared, META, measured)
        meter = SimMemoryMeter(twin.allocator, prepared.model)
        with timed(measured, "memory"):
            step.run((tracker, paths, meter))
    measured.memory = meter.profile()
    with timed(measured, "explain"):
        _explain(cell, prepared, step, measured)


@dataclass(frozen=True)
class _Placing:
    """The twin's memory; where it runs out, the error says where in the step that was."""

    twin: Twin
    paths: ModulePaths

    def malloc(self, requested_bytes: int) -> Block:
        """As the allocator does."""
        try:
            return self.twin.allocator.malloc(requested_bytes)
        except SimOutOfMemoryError as error:
            raise error.at(self.paths.path, str(self.twin.mode.operation)) from None

    def free(self, block: Block) -> None:
        """As the allocator does."""
        self.twin.allocator.free(block)


def run_until_steady(
    step: TrainingStep, twin: Twin, paths: ModulePaths, tracker: PhaseTracker, *, at_most: int
) -> None:
    """Run steps until one leaves the allocator as it found it: every later one would do the same."""
    before = None
    for _ in range(at_most):
        step.run((tracker, paths))
        after = twin.allocator.state()
        if after == before:
            return
        before = after


def _explain(cell: Cell, prepared: Prepared, step: TrainingStep, measured: Measured) -> None:
    observer = saved_observer(cell, prepared, step)
    with FlopCounter(prepared.model) as counter:
        step.run((counter, observer))
    measured.flops, measured.saved = counter.count(), observer.result
