"""The processes of a verified cell: predicted on the twin, measured on the GPU, recorded on the GPU."""

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
from lorafa_prof.running.graphed_step import GraphedStep
from lorafa_prof.running.launch import stream_of
from lorafa_prof.running.measure import run_here
from lorafa_prof.running.on_cuda import measure_memory_on_cuda
from lorafa_prof.running.on_twin import BuiltOnTwin, make_twin, noting_in, run_on_twin
from lorafa_prof.running.passes import meter_of
from lorafa_prof.running.predict import MeasuredOnTwin
from lorafa_prof.running.prepare import measured_step, prepare_step
from lorafa_prof.step import PhaseTracker
from lorafa_prof.verification.judge import measured_steps

Details = dict[str, Any]
"""What a process adds to the details of its result, in values for JSON."""


def predict(cell: Cell) -> CellResult:
    """Predict a cell's memory on its twin.

    `details` has a digest of its ``requests``.
    """
    return _with_details(cell, _predict)


def predict_with_stream(cell: Cell) -> CellResult:
    """Predict a cell's memory on its twin.

    `details` has a digest of its ``requests``, and their ``stream``.
    """
    return _with_details(cell, _predict_with_stream)


def predict_placed(addresses: Sequence[int], cell: Cell) -> CellResult:
    """Predict a cell's memory on its twin, with the first segments at these addresses."""
    return _with_details(cell, partial(_predict, addresses=addresses))


def measure(cell: Cell) -> CellResult:
    """Measure a cell's memory on CUDA, as `lorafa-prof run` does.

    `details` has the addresses of its ``segments``.
    """
    return _with_details(cell, _measure)


def record(cell: Cell) -> CellResult:
    """Measure a cell's memory on CUDA while it is recorded.

    `details` has the ``stream`` of its operations, and the allocations of its ``plain`` step.
    """
    return _with_details(cell, _record_on_cuda)


def _with_details(cell: Cell, run: Callable[[Details, Cell, Measured, PhaseTracker], None]) -> CellResult:
    details: Details = {}
    result = run_here(cell, partial(run, details))
    return result.model_copy(update={"details": result.details | details})


def _measure(details: Details, cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with segment_addresses() as details["segments"]:
        measure_memory_on_cuda(cell, measured, tracker)


def _predict(
    details: Details, cell: Cell, measured: Measured, tracker: PhaseTracker, addresses: Sequence[int] = ()
) -> None:
    with noting_in(measured, make_twin(cell, addresses=addresses), cell) as twin:
        digest = RequestDigest(twin.mode.memory, tracker)
        twin.mode.memory = digest
        watch = MeasuredOnTwin(measured, digest)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        del built  # the model's end is in the digest
        details["requests"] = digest.hexdigest()


def _predict_with_stream(details: Details, cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with noting_in(measured, make_twin(cell), cell) as twin:
        digest = RequestDigest(twin.mode.memory, tracker)
        twin.mode.memory = digest
        recorder = SimStreamRecorder(twin, digest)
        watch = _StreamWatch(measured, recorder)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        details["stream"] = as_json(_compared_steps(recorder.stream(), cell))
        del built
        details["requests"] = digest.hexdigest()


class _StreamWatch(MeasuredOnTwin):
    """A watch that lets a stream recorder name modules as soon as the model is built."""

    def __init__(self, measured: Measured, recorder: SimStreamRecorder) -> None:
        super().__init__(measured, recorder)
        self._recorder = recorder

    def built(self, built: BuiltOnTwin) -> None:
        """Let the recorder name modules from here on."""
        super().built(built)
        self._recorder.follow(built.paths)


def _record_on_cuda(details: Details, cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with stream_of(cell), CudaStreamRecorder() as recorder:
        log = recorder.operations
        with log:
            prepared, training = prepare_step(cell, torch.device("cuda"))
            log.watch(prepared.model)
            for _ in range(cell.steps.warmup):
                training.run((tracker, log))
            step = measured_step(cell, training, torch.device("cuda"))
            del training  # and with it the batch of a run's shortest step
            meter = meter_of(cell, lambda: CudaMemoryMeter(prepared.model))
            step.run((tracker, log, meter))
        if isinstance(step, GraphedStep):
            step = GraphedStep(step.ungraphed())  # captured once more: a replay asks for no memory
        with recorder.plain as plain:
            step.run((tracker, plain))
        measured.memory = meter.profile()
        details["stream"] = as_json(_compared_steps(recorder.stream(), cell))
        details["plain"] = recorder.plain_step()


def _compared_steps(stream: list[StreamOperation], cell: Cell) -> list[StreamOperation]:
    """Return the operations of building, of the first step and of what is measured.

    The steps between repeat the first.
    """
    return steps_of(stream, (0, 1, *measured_steps(stream, cell)))
