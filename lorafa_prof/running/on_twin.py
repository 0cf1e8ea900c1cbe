"""Running a cell on the twin of its GPU: the only way onto the twin, whatever is observed of the steps.

Building, settling and one steady step are the same for every caller; observers record what they need of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from lorafa_prof.cell import Cell, twin_gpu
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.allocator import AllocatorSettings
from lorafa_prof.devices.sim.honesty import notes_of, unchecked_operations
from lorafa_prof.devices.sim.rank import Rank
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.instruments.allocations.placing import Placing
from lorafa_prof.instruments.memory.profile import MemoryMeter
from lorafa_prof.instruments.memory.sim import SimMemoryMeter
from lorafa_prof.instruments.memory.storages import buffers_on_host
from lorafa_prof.instruments.module_path import ModulePaths
from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.code import import_code
from lorafa_prof.models.kernels import import_kernels
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.parallel.local import local_part
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.passes import meter_of
from lorafa_prof.running.prepare import measured_step, prepare_step
from lorafa_prof.step import Observer, Step, TrainingStep

CUDA = torch.device("cuda", 0)
Part = Literal["build", "warmup", "memory"]


@dataclass(frozen=True)
class BuiltOnTwin:
    """A cell that is built on its twin.

    Attributes:
        cell: the cell that was built.
        twin: its twin, which has been entered.
        paths: the path of the module that an operation belongs to, while the step runs.
        step: what is measured: a training step, a run of them, or an evaluation.
        prepared: its model, ready to train. It is dropped last, since a digest of requests covers its end.
    """

    cell: Cell
    twin: Twin
    paths: ModulePaths
    step: Step
    prepared: Prepared


class TwinWatch:
    """Called as a cell's run on its twin goes on; a subclass overrides what it watches.

    Attributes:
        observers: observers of all steps, from the first on.
    """

    observers: Sequence[Observer] = ()

    def during(self, part: Part) -> AbstractContextManager[None]:
        """Return a context that is entered around this part of the run."""
        del part
        return nullcontext()

    def built(self, built: BuiltOnTwin) -> None:
        """Called when the model is built and no step has run."""

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """Return the observers of the steady step alone; called when steps no longer change the allocator."""
        del built
        return ()


def make_twin(
    cell: Cell,
    *,
    settings: AllocatorSettings | None = None,
    capacity_bytes: int | None = None,
    addresses: Iterable[int] = (),
    rank: int = 0,
) -> Twin:
    """Return the twin that `cell`, or one of its ranks, runs on, not yet entered.

    The other arguments are those of `Twin`.

    Raises:
        UsageError: the cell's device is the twin of no known GPU.
    """
    gpu = GPUS[twin_gpu(cell.device) or cell.device]
    which = Rank(rank, cell.gpus) if cell.parallel != "none" else None
    return Twin(gpu, settings=settings, capacity_bytes=capacity_bytes, addresses=addresses, rank=which)


@contextmanager
def noting(twin: Twin, cell: Cell, notes: list[str]) -> Iterator[Twin]:
    """A context in which `cell` runs on `twin`; at its end, notes on the prediction are added to `notes`.

    Some of them are on the operations that ran, so they are known after the steps only. The model's code, and
    that of its kernels, is imported first: it would keep what it saw of the twin.
    """
    import_code(resolve_model(cell.model))
    import_kernels(cell.kernels)
    with twin:
        try:
            yield twin
        finally:
            notes.extend(notes_of(twin, cell))


@contextmanager
def noting_in(measured: Measured, twin: Twin, cell: Cell) -> Iterator[Twin]:
    """A context as `noting`, whose notes become those of `measured`, with all unchecked operations."""
    with noting(twin, cell, measured.notes):
        try:
            yield twin
        finally:
            measured.unchecked_operations = unchecked_operations(twin)


def run_on_twin(cell: Cell, twin: Twin, watch: TwinWatch) -> BuiltOnTwin:
    """Build `cell`, run steps until they no longer change the allocator, then what is measured.

    That is one more, the steady step, or a run of steps of different lengths, or an evaluation.

    Args:
        cell: a cell whose device is the twin of a GPU.
        twin: its twin, already entered.
        watch: called when the cell is built and when it has settled; gives the observers.

    Raises:
        SimOutOfMemoryError: the GPU has too little memory; the error names module and operation.
    """
    with watch.during("build"):
        prepared, training = prepare_step(cell, CUDA)
    _check_placed(prepared.model, twin)
    step = measured_step(cell, training, CUDA)
    built = BuiltOnTwin(cell, twin, ModulePaths(prepared.model), step, prepared)
    watch.built(built)
    twin.mode.memory = Placing(twin.mode, twin.mode.memory, built.paths)
    with built.paths:
        with watch.during("warmup"):
            _run_until_steady(built, training, watch.observers)
        del training  # and with it the batch of a run's shortest step
        steady = watch.settled(built)
        with watch.during("memory"):
            step.run((*watch.observers, built.paths, *steady))
    return built


def meter_on(built: BuiltOnTwin) -> MemoryMeter:
    """Return a meter of what is measured on the twin."""
    return meter_of(built.cell, lambda: SimMemoryMeter(built.twin.allocator, built.prepared.model))


def _check_placed(model: nn.Module, twin: Twin) -> None:
    """Check that each parameter and buffer is on the device, and that its memory was counted.

    Not of buffers that are on the host on a GPU too: the row tells of them.

    Raises:
        LorafaProfError: one is not; the error names it.
    """
    on_host = {id(buffer) for buffer in buffers_on_host(model)}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if id(tensor) in on_host:
            continue
        counted = not local_part(tensor).untyped_storage().nbytes() or twin.mode.block_of(tensor) is not None
        if not (tensor.is_cuda and counted):
            raise LorafaProfError(
                f"'{name}' of the model is on {tensor.device} after building, and takes no memory of the "
                "twin's GPU: the model makes it in a way that the twin does not see"
            )


def _run_until_steady(built: BuiltOnTwin, training: TrainingStep, observers: Sequence[Observer]) -> None:
    """Run steps until one leaves the allocator as it was before: every later one would do the same."""
    before = None
    for _ in range(built.cell.steps.warmup):
        training.run((*observers, built.paths))
        after = built.twin.allocator.state()
        if after == before:
            return
        before = after
