"""Measuring a cell on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.memory.cpu import FollowedMemoryMeter
from lorafa_prof.instruments.memory.storages import (
    StorageFollower,
    model_tensors,
    optimizer_tensors,
    state_tensors,
)
from lorafa_prof.instruments.timing import HostClock
from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.kernels import COMPILE
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.mixed_precision import note_skips, noting_a_skip
from lorafa_prof.running.passes import (
    build_and_warm_up,
    keep_memory,
    leave_out,
    marks_of_times,
    meter_of,
    noting_compilation_of,
    run_explaining_passes,
    time_measured,
    timed,
)
from lorafa_prof.step import PhaseTracker, Step


def measure_on_cpu(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Build the cell, warm up, and make a pass for each instrument, whose results go into `measured`."""
    prepared, step = build_and_warm_up(cell, torch.device("cpu"), measured, tracker)
    if cell.kernels == COMPILE:
        leave_out("memory", measured)
    else:
        _measure_memory(cell, prepared, step, measured, tracker)
    with timed(measured, "timing"), noting_compilation_of(cell, measured):
        measured.times = time_measured(cell, step, HostClock())
    note_skips(step, measured.notes)
    # In the record alone: a CPU's times are seldom steady, and a note on every row would say nothing.
    measured.marks |= marks_of_times(cell, measured.times)
    run_explaining_passes(cell, prepared, step, measured)


def _measure_memory(
    cell: Cell, prepared: Prepared, step: Step, measured: Measured, tracker: PhaseTracker
) -> None:
    follower = StorageFollower("cpu")
    follower.adopt(held_between_steps(prepared, step.inputs))
    meter = meter_of(cell, lambda: FollowedMemoryMeter(follower, prepared.model))
    with timed(measured, "memory"), noting_a_skip(step, measured.notes), follower:
        if cell.parallel == "ddp":
            step.run((tracker,))  # in which DDP's buckets are seen
        step.run((tracker, meter))
    keep_memory(measured, meter)


def held_between_steps(prepared: Prepared, inputs: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Yield all tensors that are there before a step and after it."""
    yield from model_tensors(prepared.model)
    yield from state_tensors(prepared.model)
    yield from optimizer_tensors(prepared.optimizer, "cpu")
    yield from prepared.optimizer_tensors
    yield from inputs.values()
