"""Measuring a cell on a CUDA GPU."""

from __future__ import annotations

import os
from typing import TypeVar

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.devices.gpus.gpu import catalogued, peak_flops
from lorafa_prof.devices.gpus.types import note_of_types
from lorafa_prof.instruments.energy import EnergyWindow
from lorafa_prof.instruments.memory.cuda import CudaMemoryMeter
from lorafa_prof.instruments.memory.profile import MemoryMeter
from lorafa_prof.instruments.nvml import Unavailable, open_device, torch_device_uuid
from lorafa_prof.instruments.timing import CudaClock
from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.quantization import EIGHT_BIT_FLOAT
from lorafa_prof.results.marks import retried
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.gpu_use import disturbances
from lorafa_prof.running.launch import stream_of
from lorafa_prof.running.mixed_precision import note_skips, noting_a_skip
from lorafa_prof.running.passes import (
    EXPLAINING,
    build_and_warm_up,
    count_communication,
    explained_step,
    keep_memory,
    marks_of_times,
    meter_of,
    noting_compilation_of,
    run_explaining_passes,
    time_measured,
    timed,
)
from lorafa_prof.step import PhaseTracker, Step

T = TypeVar("T")


def measure_on_cuda(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Build the cell, warm up, and make a pass for each instrument, whose results go into `measured`."""
    with stream_of(cell):
        _measure(cell, measured, tracker)


def measure_memory_on_cuda(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Measure only the memory of a step, and of a rank what it sends, by the passes of `measure_on_cuda`."""
    with stream_of(cell):
        prepared, step, meter = _until_memory(cell, measured, tracker)
        note_skips(step, measured.notes)
        measured.marks |= retried(keep_memory(measured, meter).num_alloc_retries)
        measured.notes.extend(measured.marks.values())
        if cell.has_ranks:
            measured.part_started(EXPLAINING)
            with timed(measured, "communication"):
                count_communication(cell, prepared, explained_step(step), measured)


def _measure(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    prepared, step, meter = _until_memory(cell, measured, tracker)
    nvml = open_device(torch_device_uuid())
    before = disturbances(nvml)
    with timed(measured, "timing"), noting_compilation_of(cell, measured), EnergyWindow(nvml) as window:
        measured.times = time_measured(cell, step, CudaClock())
    note_skips(step, measured.notes)
    memory = keep_memory(measured, meter)
    retries = retried(memory.num_alloc_retries)
    measured.marks |= before | disturbances(nvml) | retries | marks_of_times(cell, measured.times)
    measured.notes.extend(measured.marks.values())
    gpu = catalogued(cell.gpu)
    if gpu is None:
        measured.unavailable["mfu"] = f"no peak FLOPs known for '{cell.gpu}'"
    elif cell.quantization == EIGHT_BIT_FLOAT and peak_flops(gpu, "fp8") is None:
        measured.unavailable["mfu"] = f"no peak FLOPs of fp8 known for '{cell.gpu}'"
    measured.energy = _known("energy", window.reading, measured)
    if isinstance(nvml, Unavailable):
        measured.unavailable["nvml"] = nvml.reason
    else:
        measured.device_used_bytes = _known("device_used_bytes", nvml.device_used_bytes(), measured)
        process_bytes = nvml.process_used_bytes(os.getpid())
        measured.process_used_bytes = _known("process_used_bytes", process_bytes, measured)
        nvml.close()
    run_explaining_passes(cell, prepared, step, measured)


def _until_memory(
    cell: Cell, measured: Measured, tracker: PhaseTracker
) -> tuple[Prepared, Step, MemoryMeter]:
    if types := note_of_types(cell):
        measured.notes.append(types)
    prepared, step = build_and_warm_up(cell, torch.device("cuda"), measured, tracker)
    meter = meter_of(cell, lambda: CudaMemoryMeter(prepared.model))
    with (
        timed(measured, "memory"),
        noting_compilation_of(cell, measured),
        noting_a_skip(step, measured.notes),
    ):
        step.run((tracker, meter))
    return prepared, step, meter


def _known(name: str, value: T | Unavailable, measured: Measured) -> T | None:
    if isinstance(value, Unavailable):
        measured.unavailable[name] = value.reason
        return None
    return value
