"""Predicting a cell on the twin of a GPU: the same passes, and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import SimOutOfMemoryError
from lorafa_prof.devices.sim.honesty import notes_of
from lorafa_prof.devices.sim.mode import Memory, TwinMode
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.flops import FlopCounter
from lorafa_prof.instruments.memory_sim import SimMemoryMeter
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.methods.base import Prepared
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.passes import note_model, note_optimizer, saved_observer, timed
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.cell import Cell
from lorafa_prof.step import Observer, PhaseTracker, TrainingStep

META = torch.device("meta")


def predict_on_twin(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Build, run steps until nothing changes any more, then one step for memory and one to explain it.

    Raises:
        SimOutOfMemoryError: the GPU has too little memory; it names module and operation.
    """
    with twin_of(cell, measured) as twin:
        prepared, step = predict_memory(cell, twin, measured, tracker)
        # FLOPs are counted under a second dispatch mode, which holds gradients that are added to in place
        # without it: that must not be what runs out of memory.
        twin.allocator.lift_capacity()
        with timed(measured, "explain"):
            _explain(cell, prepared, step, measured)


@contextmanager
def twin_of(cell: Cell, measured: Measured, addresses: Iterable[int] = ()) -> Iterator[Twin]:
    """A context in which `cell` runs on its twin; what a reader must know of that is noted at its end.

    Args:
        cell: whose device is a twin.
        measured: takes the notes.
        addresses: of the first segments, where those of a run on the GPU are known.
    """
    twin = Twin(GPUS[cell.device.removeprefix("sim:")], addresses=addresses)
    with twin:
        try:
            yield twin
        finally:
            measured.notes.extend(notes_of(twin, cell))


def predict_memory(
    cell: Cell,
    twin: Twin,
    measured: Measured,
    tracker: Observer,
    on_built: Callable[[ModulePaths], None] | None = None,
) -> tuple[Prepared, TrainingStep]:
    """Build, run steps until nothing changes any more, then one step for memory.

    Args:
        cell: what to predict.
        twin: entered already.
        measured: takes what is predicted.
        tracker: told of the phases of all steps.
        on_built: called before the first step with what tells the module of each operation.
    """
    with timed(measured, "build"):
        prepared, step = prepare_step(cell, META)
    note_model(prepared, step, measured)
    paths = ModulePaths(prepared.model)
    if on_built is not None:
        on_built(paths)
    twin.mode.memory = _Placing(twin.mode, twin.mode.memory, paths)
    with paths:
        with timed(measured, "warmup"):
            run_until_steady(step, twin, paths, tracker, at_most=cell.steps.warmup)
        note_optimizer(prepared, META, measured)
        meter = SimMemoryMeter(twin.allocator, prepared.model)
        with timed(measured, "memory"):
            step.run((tracker, paths, meter))
    measured.memory = meter.profile()
    return prepared, step


@dataclass(frozen=True)
class _Placing:
    """The twin's memory; where it runs out, the error says where in the step that was."""

    mode: TwinMode
    memory: Memory
    paths: ModulePaths

    def malloc(self, requested_bytes: int) -> Any:
        """As the allocator does."""
        try:
            return self.memory.malloc(requested_bytes)
        except SimOutOfMemoryError as error:
            raise error.at(self.paths.path, str(self.mode.operation)) from None

    def free(self, block: Any) -> None:
        """As the allocator does."""
        self.memory.free(block)


def run_until_steady(
    step: TrainingStep, twin: Twin, paths: ModulePaths, tracker: Observer, *, at_most: int
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
    observer = saved_observer(cell, prepared, step, explained=True)
    with FlopCounter(prepared.model) as counter:
        step.run((counter, observer))
    measured.flops, measured.saved = counter.count(), observer.result
