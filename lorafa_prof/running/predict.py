"""Predicting a cell on the twin of a GPU as `run` measures it on the GPU: the same passes, and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.flops.counter import FlopCounter
from lorafa_prof.instruments.memory.sim import SimMemoryMeter
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.on_twin import META, BuiltOnTwin, Part, TwinWatch, make_twin, noting, run_on_twin
from lorafa_prof.running.passes import note_model, note_optimizer, saved_observer, timed
from lorafa_prof.step import Observer, PhaseTracker


def predict_on_twin(cell: Cell, measured: Measured, tracker: PhaseTracker) -> None:
    """Build, run steps until nothing changes any more, then one step for memory and one to explain it.

    Raises:
        SimOutOfMemoryError: the GPU has too little memory; it names module and operation.
    """
    with noting(make_twin(cell), cell, measured.notes) as twin:
        watch = MeasuredOnTwin(measured, tracker)
        built = run_on_twin(cell, twin, watch)
        watch.keep_memory()
        # FLOPs are counted under a second dispatch mode, which holds gradients that are added to in place
        # without it: that must not be what runs out of memory.
        twin.allocator.lift_capacity()
        with timed(measured, "explain"):
            _explain(built, measured)


class MeasuredOnTwin(TwinWatch):
    """Notes the sizes of model, inputs and optimizer, and the memory of the steady step.

    Args:
        measured: takes them.
        tracker: told of the phases of all steps.
    """

    def __init__(self, measured: Measured, tracker: Observer) -> None:
        self.observers: Sequence[Observer] = (tracker,)
        self._measured = measured
        self._meter: SimMemoryMeter | None = None

    def during(self, part: Part) -> AbstractContextManager[None]:
        """Note how long it takes."""
        return timed(self._measured, part)

    def built(self, built: BuiltOnTwin) -> None:
        """Note the model's and the inputs' sizes."""
        note_model(built.prepared, built.step, self._measured)

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """Note the optimizer's size; the steady step's memory is metered."""
        note_optimizer(built.prepared, META, self._measured)
        self._meter = SimMemoryMeter(built.twin.allocator, built.prepared.model)
        return (self._meter,)

    def keep_memory(self) -> None:
        """The steady step ran to its end: keep what was metered, and let go of the model."""
        assert self._meter is not None
        self._measured.memory = self._meter.profile()
        self._meter = None


def _explain(built: BuiltOnTwin, measured: Measured) -> None:
    observer = saved_observer(built.cell, built.prepared, built.step, explained=True)
    with FlopCounter(built.prepared.model) as counter:
        built.step.run((counter, observer))
    measured.flops, measured.saved = counter.count(), observer.result
