"""The three processes of a verified cell: predicted on the twin, measured on the GPU, recorded on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.allocations.request_digest import RequestDigest
from lorafa_prof.instruments.allocations.segment_addresses_cuda import segment_addresses
from lorafa_prof.instruments.allocations.stream import StreamOperation, as_json, steps_of
from lorafa_prof.instruments.allocations.stream_cuda import CudaStreamRecorder
from lorafa_prof.instruments.allocations.stream_sim import SimStreamRecorder
from lorafa_prof.instruments.memory.cuda import CudaMemoryMeter
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import run_here
from lorafa_prof.running.on_cuda import measure_memory_on_cuda
from lorafa_prof.running.on_twin import BuiltOnTwin, make_twin, noting, run_on_twin
from lorafa_prof.running.predict import MeasuredOnTwin
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import PhaseTracker

Told = dict[str, Any]
"""What a process tells beside the measured, in values for JSON."""


def predict(cell: Cell) -> CellResult:
    """The memory of a twin's cell; `details` has a digest of its ``requests``, not their stream."""
    return _with_told(cell, _predict)


def predict_with_stream(cell: Cell) -> CellResult:
    """As `predict`; `details` has the ``stream`` too."""
    return _with_told(cell, _predict_with_stream)


def predict_placed(addresses: Sequence[int], cell: Cell) -> CellResult:
    """The memory of a twin's cell whose segments have these addresses."""
    return _with_told(cell, partial(_predict, addresses=addresses))


def measure(cell: Cell) -> CellResult:
    """The memory of a cell on CUDA, as `lorafa-prof run` measures it; `details` has its ``segments``."""
    return _with_told(cell, _measure)


def record(cell: Cell) -> CellResult:
    """The memory of a cell on CUDA while it is recorded; `details` has ``stream`` and ``plain`` step."""
    return _with_told(cell, _record_on_cuda)


def _with_told(cell: Cell, run: Callable[[Told, Cell, Measured, PhaseTracker], None]) -> CellResult:
    told: Told = {}
    result = run_here(cell, partial(run, told))
    return result.model_copy(update={"details": result.details | told})


def _measure(told: Told, cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with segment_addresses() as told["segments"]:
        measure_memory_on_cuda(cell, measured, tracker)


def _predict(
    told: Told, cell: Cell, measured: Measured, tracker: PhaseTracker, addresses: Sequence[int] = ()
) -> None:
    with noting(make_twin(cell, addresses=addresses), cell, measured.notes) as twin:
        digest = RequestDigest(twin.mode.memory, tracker)
        twin.mode.memory = digest
        watch = MeasuredOnTwin(measured, digest)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        del built  # the model's end is in the digest
        told["requests"] = digest.hexdigest()


def _predict_with_stream(told: Told, cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with noting(make_twin(cell), cell, measured.notes) as twin:
        digest = RequestDigest(twin.mode.memory, tracker)
        twin.mode.memory = digest
        recorder = SimStreamRecorder(twin, digest)
        watch = _StreamWatch(measured, recorder)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        told["stream"] = as_json(_compared_steps(recorder.stream()))
        del built
        told["requests"] = digest.hexdigest()


class _StreamWatch(MeasuredOnTwin):
    """Lets a stream recorder name modules as soon as there are any."""

    def __init__(self, measured: Measured, recorder: SimStreamRecorder) -> None:
        super().__init__(measured, recorder)
        self._recorder = recorder

    def built(self, built: BuiltOnTwin) -> None:
        """Modules are known from here on."""
        super().built(built)
        self._recorder.follow(built.paths)


def _record_on_cuda(told: Told, cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with CudaStreamRecorder() as recorder:
        log = recorder.operations
        with log:
            prepared, step = prepare_step(cell, torch.device("cuda"))
            log.watch(prepared.model)
            for _ in range(cell.steps.warmup):
                step.run((tracker, log))
            meter = CudaMemoryMeter(prepared.model)
            step.run((tracker, log, meter))
        with recorder.plain as plain:
            step.run((tracker, plain))
        measured.memory = meter.profile()
        told["stream"] = as_json(_compared_steps(recorder.stream()))
        told["plain"] = recorder.plain_step()


def _compared_steps(stream: list[StreamOperation]) -> list[StreamOperation]:
    """Building, the first step and the last: those between say nothing new."""
    return steps_of(stream, (0, 1, stream[-1].step))
