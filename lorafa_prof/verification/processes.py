"""The processes of a verified cell: predicted on the twin, measured on the GPU, recorded on the GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.allocations.request_digest import RequestDigest
from lorafa_prof.instruments.allocations.segment_addresses_cuda import segment_addresses
from lorafa_prof.instruments.allocations.stream import StreamOperation, as_json, steps_of
from lorafa_prof.instruments.allocations.stream_cuda import CudaStreamRecorder
from lorafa_prof.instruments.allocations.stream_sim import SimStreamRecorder
from lorafa_prof.instruments.memory.cuda import CudaMemoryMeter
from lorafa_prof.parallel.watchdog import await_watchdog
from lorafa_prof.results.measured import Measured
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.graphed_step import GraphedStep
from lorafa_prof.running.launch import stream_of
from lorafa_prof.running.measure import run_here, run_on_device, run_on_twins
from lorafa_prof.running.on_cuda import measure_memory_on_cuda
from lorafa_prof.running.on_twin import BuiltOnTwin, make_twin, noting_in, run_on_twin
from lorafa_prof.running.passes import count_communication, explained_step, meter_of
from lorafa_prof.running.predict import MeasuredOnTwin
from lorafa_prof.running.prepare import measured_step, prepare_step
from lorafa_prof.running.ranks.combine import of_all
from lorafa_prof.step import PhaseTracker
from lorafa_prof.verification.operations import measured_steps


def predict(cell: Cell) -> CellResult:
    """Predict a cell's memory on its twin, of several GPUs that of each kind of rank.

    `details` has a digest of its ``requests``.
    """
    return run_on_twins(cell, _predict)


def predict_with_stream(cell: Cell) -> CellResult:
    """Predict a cell's memory on its twin, of several GPUs that of each kind of rank.

    `details` has a digest of its ``requests``, and their ``stream``.
    """
    return run_on_twins(cell, _predict_with_stream)


def predict_placed(addresses: Mapping[int, Sequence[int]], cell: Cell) -> CellResult:
    """Predict a cell's memory on its twin, with each rank's first segments at these addresses.

    Of a cell on one GPU they are those of rank 0.
    """
    results = {
        rank: run_here(cell, partial(_predict, rank=rank, addresses=of_rank))
        for rank, of_rank in addresses.items()
    }
    return of_all(cell, results) if cell.parallel != "none" else results[0]


def measure(cell: Cell) -> CellResult:
    """Measure a cell's memory on CUDA, as `lorafa-prof run` does, and of each rank what it sends.

    `details` has the addresses of its ``segments``.
    """
    return run_on_device(cell, _measure)


def record(cell: Cell) -> CellResult:
    """Measure a cell's memory on CUDA while it is recorded.

    `details` has the ``stream`` of its operations, and the allocations of its ``plain`` step.
    """
    return run_on_device(cell, _record_on_cuda)


def _measure(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with segment_addresses() as measured.further["segments"]:
        measure_memory_on_cuda(cell, measured, tracker)


def _predict(
    cell: Cell, measured: Measured, tracker: PhaseTracker, rank: int = 0, addresses: Sequence[int] = ()
) -> None:
    with noting_in(measured, make_twin(cell, addresses=addresses, rank=rank), cell) as twin:
        digest = RequestDigest(twin.mode.memory, tracker)
        twin.mode.memory = digest
        watch = MeasuredOnTwin(measured, digest)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        _count_sent(built, measured)
        del built  # the model's end is in the digest
        measured.further["requests"] = digest.hexdigest()


def _predict_with_stream(cell: Cell, measured: Measured, tracker: PhaseTracker, rank: int = 0) -> None:
    with noting_in(measured, make_twin(cell, rank=rank), cell) as twin:
        digest = RequestDigest(twin.mode.memory, tracker)
        twin.mode.memory = digest
        recorder = SimStreamRecorder(twin, digest)
        watch = _StreamWatch(measured, recorder)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        measured.further["stream"] = as_json(_compared_steps(recorder.stream(), cell))
        _count_sent(built, measured)
        del built
        measured.further["requests"] = digest.hexdigest()


def _count_sent(built: BuiltOnTwin, measured: Measured) -> None:
    """Count what a rank sends in one more step, which only explains: nothing runs out of memory there."""
    if built.cell.parallel != "none":
        built.twin.allocator.lift_capacity()
        count_communication(built.cell, built.prepared, explained_step(built.step), measured)


class _StreamWatch(MeasuredOnTwin):
    """A watch that lets a stream recorder name modules as soon as the model is built."""

    def __init__(self, measured: Measured, recorder: SimStreamRecorder) -> None:
        super().__init__(measured, recorder)
        self._recorder = recorder

    def built(self, built: BuiltOnTwin) -> None:
        """Let the recorder name modules from here on."""
        super().built(built)
        self._recorder.follow(built.paths)


def _record_on_cuda(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    with stream_of(cell), CudaStreamRecorder() as recorder:
        log = recorder.operations
        with log:
            prepared, training = prepare_step(cell, torch.device("cuda"))
            log.watch(prepared.model)
            for _ in range(cell.steps.warmup):
                training.run((tracker, log))
                await_watchdog(cell.parallel)
            step = measured_step(cell, training, torch.device("cuda"))
            del training  # and with it the batch of a run's shortest step
            meter = meter_of(cell, lambda: CudaMemoryMeter(prepared.model))
            step.run((tracker, log, meter))
        if isinstance(step, GraphedStep):
            step = GraphedStep(step.ungraphed())  # captured once more: a replay asks for no memory
        with recorder.plain as plain:
            step.run((tracker, plain))
        measured.memory = meter.profile()
        measured.further["stream"] = as_json(_compared_steps(recorder.stream(), cell))
        measured.further["plain"] = recorder.plain_step()


def _compared_steps(stream: list[StreamOperation], cell: Cell) -> list[StreamOperation]:
    """Return the operations of building, of the first step and of what is measured.

    The steps between repeat the first.
    """
    return steps_of(stream, (0, 1, *measured_steps(stream, cell)))
