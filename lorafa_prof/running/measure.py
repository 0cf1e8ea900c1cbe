"""Measuring one cell in this process: build, warm up, then one pass for each instrument."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.instruments.energy import EnergyWindow
from lorafa_prof.instruments.flops import FlopCounter
from lorafa_prof.instruments.host import peak_rss_bytes
from lorafa_prof.instruments.memory import MemoryMeter
from lorafa_prof.instruments.memory_cpu import FollowedMemoryMeter
from lorafa_prof.instruments.memory_cuda import CudaMemoryMeter
from lorafa_prof.instruments.nvml import Unavailable, open_device, torch_device_uuid
from lorafa_prof.instruments.saved import SavedTensors, SavedTensorsRecorder
from lorafa_prof.instruments.storages import (
    StorageFollower,
    model_tensors,
    optimizer_tensors,
    storage_bytes,
)
from lorafa_prof.instruments.timing import CudaClock, HostClock, time_steps
from lorafa_prof.methods.base import METHODS, TORCH_DTYPES, Prepared, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.provenance import environment
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import details_of, metric_columns, setting_columns
from lorafa_prof.scenario.cell import Cell
from lorafa_prof.step import Phase, PhaseTracker, TrainingStep

T = TypeVar("T")


def measure_cell(cell: Cell) -> CellResult:
    """Measure `cell` and return its result; running out of memory is a result too.

    Raises:
        UsageError: the cell cannot be built as it is written.
    """
    measured = Measured()
    tracker = PhaseTracker()
    status: dict[str, Value] = {"status": "ok"}
    try:
        _measure(cell, measured, tracker)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        status = {"status": "oom", "failed_phase": tracker.phase, "message": out_of_memory_line(error)}
    if measured.notes and "message" not in status:
        status["message"] = "; ".join(measured.notes)
    return CellResult(
        cell=cell,
        row={**setting_columns(cell, label_of(cell)), **status, **metric_columns(cell, measured)},
        details=details_of(cell, measured),
        environment=environment(cell.device),
    )


def label_of(cell: Cell) -> str:
    """The method's name in the table."""
    method = METHODS[cell.method.name]
    return method.label_of(method.options.model_validate(cell.method.options))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the host's allocator, had no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def out_of_memory_line(error: BaseException) -> str:
    """What was asked for and how much there is: CUDA goes on for five sentences more."""
    sentences = first_line(error).split(". ")
    told = [text for text in sentences if "out of memory" in text or "Tried to allocate" in text]
    return ". ".join(told).rstrip(".") + "." if told else first_line(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def prepare_step(cell: Cell, device: torch.device) -> tuple[Prepared, TrainingStep]:
    """Build the cell's model on `device`, make it ready to train, and draw a batch."""
    resolved = resolve_model(cell.model)
    model = build_model(
        resolved,
        device=device,
        dtype=TORCH_DTYPES[cell.dtype],
        attention=cell.attention,
        checkpointing=cell.checkpointing,
        seed=cell.seed,
    )
    method = METHODS[cell.method.name]
    setting = Setting(resolved.task, TORCH_DTYPES[cell.adapter_dtype], cell.optimizer)
    prepared = method.prepare(model, method.options.model_validate(cell.method.options), setting)
    inputs = make_inputs(
        resolved, batch=cell.batch, seq=cell.seq, device=device, seed=cell.seed, padding=cell.padding
    )
    step = TrainingStep(prepared.model, inputs, prepared.optimizer, cell.accumulation, cell.max_grad_norm)
    return prepared, step


def _measure(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with _timed(measured, "build"):
        prepared, step = prepare_step(cell, torch.device(cell.device))
    model = prepared.model
    measured.params_total = sum(p.numel() for p in model.parameters())
    measured.params_trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    measured.weights_bytes = storage_bytes(model_tensors(model))
    measured.inputs_bytes = storage_bytes(step.inputs.values())
    with _timed(measured, "warmup"):
        for _ in range(cell.steps.warmup):
            step.run((tracker,))
    measured.optimizer_bytes = storage_bytes(
        (*optimizer_tensors(prepared.optimizer, cell.device), *prepared.optimizer_tensors)
    )
    passes = _cuda_passes if cell.device == "cuda" else _cpu_passes
    passes(cell, prepared, step, measured, tracker)
    measured.host_rss_bytes = peak_rss_bytes()
    # Whoever got here has its memory and times; what only explains them may fail without losing them.
    for name, explain in (("flops", _count_flops), ("saved", _record_saved)):
        _explain(name, partial(explain, cell, prepared, step, measured), measured)


def _explain(name: str, explain: Callable[[], None], measured: Measured) -> None:
    try:
        with _timed(measured, name):
            explain()
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        measured.notes.append(f"no memory left for the {name} pass")


def _cuda_passes(
    cell: Cell, prepared: Prepared, step: TrainingStep, measured: Measured, tracker: PhaseTracker
) -> None:
    meter: MemoryMeter = CudaMemoryMeter(prepared.model)
    with _timed(measured, "memory"):
        step.run((tracker, meter))
    nvml = open_device(torch_device_uuid())
    with _timed(measured, "timing"), EnergyWindow(nvml) as window:
        measured.times = time_steps(step, cell.steps.timed, CudaClock())
    measured.memory = meter.profile()
    if measured.memory.num_alloc_retries:
        measured.notes.append(
            f"the allocator had to retry {measured.memory.num_alloc_retries} times: compare to no other row"
        )
    if cell.gpu not in GPUS:
        measured.unavailable["mfu"] = f"no peak FLOPs known for '{cell.gpu}'"
    measured.energy = _known("energy", window.reading, measured)
    if isinstance(nvml, Unavailable):
        measured.unavailable["nvml"] = nvml.reason
        return
    measured.device_used_bytes = _known("device_used_bytes", nvml.device_used_bytes(), measured)
    measured.process_used_bytes = _known("process_used_bytes", nvml.process_used_bytes(os.getpid()), measured)
    nvml.close()


def _known(what: str, value: T | Unavailable, measured: Measured) -> T | None:
    if isinstance(value, Unavailable):
        measured.unavailable[what] = value.reason
        return None
    return value


def _cpu_passes(
    cell: Cell, prepared: Prepared, step: TrainingStep, measured: Measured, tracker: PhaseTracker
) -> None:
    follower = StorageFollower("cpu")
    follower.adopt(_held_between_steps(prepared, step.inputs))
    meter: MemoryMeter = FollowedMemoryMeter(follower, prepared.model)
    with _timed(measured, "memory"), follower:
        step.run((tracker, meter))
    measured.memory = meter.profile()
    with _timed(measured, "timing"):
        measured.times = time_steps(step, cell.steps.timed, HostClock())


def _held_between_steps(prepared: Prepared, inputs: Mapping[str, Tensor]) -> Iterator[Tensor]:
    yield from model_tensors(prepared.model)
    yield from optimizer_tensors(prepared.optimizer, "cpu")
    yield from prepared.optimizer_tensors
    yield from inputs.values()


def _count_flops(cell: Cell, prepared: Prepared, step: TrainingStep, measured: Measured) -> None:
    with FlopCounter(prepared.model) as counter:
        step.run((counter,))
    measured.flops = counter.count()


@dataclass
class _SavedAtForwardsEnd:
    """Observer that records saved tensors in forward, and is gone before backward.

    Of several micro-batches the last one counts, as it does for the activation memory.
    """

    make_recorder: Callable[[], SavedTensorsRecorder]
    result: SavedTensors | None = None

    def phase_started(self, phase: Phase) -> None:
        if phase == "forward":
            self.recorder = self.make_recorder()
            self.recorder.__enter__()

    def phase_ended(self, phase: Phase) -> None:
        if phase == "forward":
            self.result = self.recorder.result()
            self.recorder.__exit__(None, None, None)


def _record_saved(cell: Cell, prepared: Prepared, step: TrainingStep, measured: Measured) -> None:
    rank = cell.method.options.get("rank")
    make_recorder = partial(
        SavedTensorsRecorder,
        prepared.model,
        device_type=cell.device,
        before=step.inputs.values(),
        ranks=[rank] if rank else [],
    )
    observer = _SavedAtForwardsEnd(make_recorder)
    step.run((observer,))
    measured.saved = observer.result


@contextmanager
def _timed(measured: Measured, name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        measured.seconds[name] = time.perf_counter() - start
