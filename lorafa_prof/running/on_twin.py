"""A cell on the twin of its GPU: the one way onto it, whatever is to be seen of the steps.

Building, settling and one steady step are the same for all who ask; observers record what they want of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch

from lorafa_prof.cell import Cell, twin_gpu
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.devices.sim.honesty import notes_of
from lorafa_prof.devices.sim.mode import BlockSource, TwinMode
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.methods.base import Prepared
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import Observer, TrainingStep

META = torch.device("meta")
Part = Literal["build", "warmup", "memory"]


@dataclass(frozen=True)
class BuiltOnTwin:
    """A cell that is built on its twin.

    Attributes:
        cell: what was built.
        twin: entered.
        paths: tells the module of each operation while the step runs.
        step: its training step.
        prepared: its model, ready to train. It is let go of last, since a digest of requests covers the end.
    """

    cell: Cell
    twin: Twin
    paths: ModulePaths
    step: TrainingStep
    prepared: Prepared


class TwinWatch:
    """Told how far a cell on its twin has come; a subclass looks where it wants to.

    Attributes:
        observers: told of the phases of all steps, from the first on.
    """

    observers: Sequence[Observer] = ()

    def during(self, part: Part) -> AbstractContextManager[None]:
        """Around each part of the way."""
        del part
        return nullcontext()

    def built(self, built: BuiltOnTwin) -> None:
        """The model is there; no step has run."""

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """Nothing changes any more from step to step; returns the observers of the steady step alone."""
        del built
        return ()


def make_twin(
    cell: Cell,
    *,
    settings: AllocatorSettings | None = None,
    capacity_bytes: int | None = None,
    addresses: Iterable[int] = (),
) -> Twin:
    """The twin that `cell` runs on, not yet entered; the arguments are those of `Twin`.

    Raises:
        UsageError: the cell's device is the twin of no known GPU.
    """
    gpu = GPUS[twin_gpu(cell.device) or cell.device]
    return Twin(gpu, settings=settings, capacity_bytes=capacity_bytes, addresses=addresses)


@contextmanager
def noting(twin: Twin, cell: Cell, notes: list[str]) -> Iterator[Twin]:
    """A context in which `cell` runs on `twin`; what a reader must know of it is in `notes` at its end.

    Some of that is about the operations that ran, so it is known after the steps only.
    """
    with twin:
        try:
            yield twin
        finally:
            notes.extend(notes_of(twin, cell))


def run_on_twin(cell: Cell, twin: Twin, watch: TwinWatch) -> BuiltOnTwin:
    """Build `cell`, run steps until nothing changes any more, then one more: the steady step.

    Args:
        cell: its device is the twin of a GPU.
        twin: entered already.
        watch: told of it.

    Raises:
        SimOutOfMemoryError: the GPU has too little memory; it names module and operation.
    """
    with watch.during("build"):
        prepared, step = prepare_step(cell, META)
    built = BuiltOnTwin(cell, twin, ModulePaths(prepared.model), step, prepared)
    watch.built(built)
    twin.mode.memory = _Placing(twin.mode, twin.mode.memory, built.paths)
    with built.paths:
        with watch.during("warmup"):
            _run_until_steady(built, watch.observers)
        steady = watch.settled(built)
        with watch.during("memory"):
            step.run((*watch.observers, built.paths, *steady))
    return built


def _run_until_steady(built: BuiltOnTwin, observers: Sequence[Observer]) -> None:
    """Run steps until one leaves the allocator as it found it: every later one would do the same."""
    before = None
    for _ in range(built.cell.steps.warmup):
        built.step.run((*observers, built.paths))
        after = built.twin.allocator.state()
        if after == before:
            return
        before = after


@dataclass(frozen=True)
class _Placing:
    """The twin's memory; where it runs out, the error says where in the step that was."""

    mode: TwinMode
    memory: BlockSource
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
