"""Predicting a cell on the twin of a GPU, by the passes that `run` makes on the GPU, without a clock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.communication.counter import CommunicationCounter
from lorafa_prof.instruments.flops.counter import FlopCounter
from lorafa_prof.instruments.gradients_reached import GradientsReached
from lorafa_prof.instruments.memory.profile import MemoryMeter
from lorafa_prof.parallel.alike import alike_ranks
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.fidelity import FIDELITY, NOT_ON_A_TWIN
from lorafa_prof.running.on_twin import (
    CUDA,
    BuiltOnTwin,
    Part,
    TwinWatch,
    make_twin,
    meter_on,
    noting_in,
    run_on_twin,
)
from lorafa_prof.running.passes import (
    explained_step,
    keep_memory,
    note_flops,
    note_model,
    note_optimizer,
    saved_observer,
    timed,
)
from lorafa_prof.step import Observer, PhaseTracker


def predict_on_twin(cell: Cell, measured: Measured, tracker: PhaseTracker, rank: int = 0) -> None:
    """Build the cell, run steps until it is steady, then one for memory and one that explains it.

    Of a cell of several GPUs it is this rank's twin.

    Raises:
        SimOutOfMemoryError: the GPU has too little memory; the error names module and operation.
    """
    with noting_in(measured, make_twin(cell, rank=rank), cell) as twin:
        watch = MeasuredOnTwin(measured, tracker)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        # FLOPs are counted under a second dispatch mode, which holds gradients that are added to in place
        # without it: that must not be what runs out of memory.
        twin.allocator.lift_capacity()
        with timed(measured, "explain"):
            _explain(built, measured)
    if FIDELITY in cell.instruments:
        measured.unavailable[FIDELITY] = NOT_ON_A_TWIN
        measured.notes.append(NOT_ON_A_TWIN)


class MeasuredOnTwin(TwinWatch):
    """A watch that measures the sizes of model, inputs and optimizer, and the memory of the steady step.

    Args:
        measured: takes what is measured.
        tracker: an observer of all steps.
    """

    def __init__(self, measured: Measured, tracker: Observer) -> None:
        self.observers: Sequence[Observer] = (tracker,)
        self._measured = measured
        self._meter: MemoryMeter | None = None

    def during(self, part: Part) -> AbstractContextManager[None]:
        """Return a context that notes how long this part of the run takes."""
        return timed(self._measured, part)

    def built(self, built: BuiltOnTwin) -> None:
        """Note the sizes of model and inputs, and look from now on where gradients come to."""
        note_model(built.cell, built.prepared, built.step, self._measured)
        if built.cell.parallel != "none":
            self._measured.alike_ranks = alike_ranks(built.prepared.model, built.cell.gpus)
        self.observers = (*self.observers, GradientsReached(built.prepared, self._measured.notes))

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """Note the optimizer's size, and return the meter of the steady step's memory."""
        note_optimizer(built.prepared, CUDA, self._measured)
        self._meter = meter_on(built)
        return (self._meter,)

    def keep_memory(self) -> None:
        """Keep what the meter read and drop the model; to be called after the steady step."""
        assert self._meter is not None
        keep_memory(self._measured, self._meter)
        self._meter = None


def _explain(built: BuiltOnTwin, measured: Measured) -> None:
    step = explained_step(built.step)
    observer = saved_observer(built.cell, built.prepared, step, explained=True)
    model = built.prepared.model
    with ExitStack() as modes:
        counter = modes.enter_context(FlopCounter(model))
        observers: list[Observer] = [counter, observer]
        if built.cell.parallel != "none":
            sent = modes.enter_context(CommunicationCounter(model))
            observers.append(sent)
        step.run(observers)
    note_flops(counter.count(), measured)
    measured.saved = None if built.cell.is_evaluation else observer.result
    if built.cell.parallel != "none":
        measured.communication = sent.communication()
