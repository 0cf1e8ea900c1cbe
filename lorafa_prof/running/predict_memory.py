"""Predicting only the memory of a cell on the twin of its GPU, with as much memory as one likes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.honesty import notes_of
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.memory import MemoryProfile
from lorafa_prof.instruments.memory_sim import SimMemoryMeter
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.instruments.saved import SavedTensors
from lorafa_prof.running.on_twin import META, run_until_steady
from lorafa_prof.running.passes import saved_observer
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.cell import Cell
from lorafa_prof.step import PhaseTracker

#: More than any step takes: the allocator never runs out.
UNLIMITED = 1 << 59


@dataclass(frozen=True)
class Prediction:
    """What becomes of a cell's memory.

    Attributes:
        memory: of one steady step; None where memory runs out.
        failed_phase: where it runs out: build, forward, backward or optimizer; None where it does not.
        notes: what a reader must know of the prediction.
        saved: by autograd in that step, where it was asked for.
    """

    memory: MemoryProfile | None
    failed_phase: str | None = None
    notes: tuple[str, ...] = ()
    saved: SavedTensors | None = None

    @property
    def fits(self) -> bool:
        """Whether all steps ran."""
        return self.memory is not None


def predict_memory(
    cell: Cell,
    capacity_bytes: int | None,
    settings: AllocatorSettings | None = None,
    *,
    with_saved: bool = False,
) -> Prediction:
    """Run the steps that `run` would run for memory, on shapes, with an allocator of this capacity.

    Args:
        cell: its device is the twin of a GPU.
        capacity_bytes: what the allocator can get; `UNLIMITED`: as much as it wants; None: as much as on
            that GPU.
        settings: of the allocator; None: as the environment has it.
        with_saved: whether to record what autograd saves.
    """
    gpu = GPUS[cell.device.removeprefix("sim:")]
    twin = Twin(gpu, settings=settings, capacity_bytes=capacity_bytes)
    tracker = PhaseTracker()
    memory, saved = None, None
    with twin, suppress(SimOutOfMemoryError):
        memory, saved = _steady_memory(cell, twin, tracker, with_saved)
    # After the steps: they are also of the operations that ran.
    notes = tuple(notes_of(twin, cell))
    return Prediction(memory, None if memory else tracker.phase, notes, saved)


def _steady_memory(
    cell: Cell, twin: Twin, tracker: PhaseTracker, with_saved: bool
) -> tuple[MemoryProfile, SavedTensors | None]:
    prepared, step = prepare_step(cell, META)
    meter = SimMemoryMeter(twin.allocator, prepared.model)
    with ModulePaths(prepared.model) as paths:
        run_until_steady(step, twin, paths, tracker, at_most=cell.steps.warmup)
        if not with_saved:
            step.run((tracker, meter))
            return meter.profile(), None
        # Hooks on what is saved leave every allocation as it is; to see what else is held takes a mode.
        observer = saved_observer(cell, prepared, step, explained=False)
        step.run((tracker, observer, meter))
        return meter.profile(), observer.result
