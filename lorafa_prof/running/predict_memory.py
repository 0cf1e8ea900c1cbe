"""Predicting only the memory of a cell on the twin of its GPU, with any capacity."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.allocator import AllocatorSettings, SimOutOfMemoryError
from lorafa_prof.instruments.memory.profile import MemoryMeter, MemoryProfile
from lorafa_prof.instruments.saved.recorder import SavedTensors
from lorafa_prof.running.on_twin import BuiltOnTwin, TwinWatch, make_twin, meter_on, noting, run_on_twin
from lorafa_prof.running.passes import SavedAtForwardsEnd, saved_observer
from lorafa_prof.running.prediction import Prediction
from lorafa_prof.step import Observer, PhaseTracker


def predict_memory(
    cell: Cell,
    capacity_bytes: int | None,
    settings: AllocatorSettings | None = None,
    *,
    with_saved: bool = False,
) -> Prediction:
    """Return the memory of the steps that `run` would run, predicted on shapes with this capacity.

    Args:
        cell: a cell whose device is the twin of a GPU.
        capacity_bytes: bytes that the allocator can get; `UNLIMITED`: as many as it wants; None: as many as
            on that GPU.
        settings: options of the allocator; None: those in this process's environment.
        with_saved: whether to record what autograd saves.
    """
    twin = make_twin(cell, settings=settings, capacity_bytes=capacity_bytes)
    watch = _MemoryWatch(with_saved)
    notes: list[str] = []
    memory, saved = None, None
    with suppress(SimOutOfMemoryError), noting(twin, cell, notes):
        run_on_twin(cell, twin, watch)
        memory, saved = watch.result()
    return Prediction(memory, None if memory else watch.tracker.phase, (*watch.notes, *notes), saved)


class _MemoryWatch(TwinWatch):
    """A watch that meters the steady step and, if asked, records what autograd saves in it."""

    def __init__(self, with_saved: bool) -> None:
        self.tracker = PhaseTracker()
        self.observers = (self.tracker,)
        self._with_saved = with_saved
        self._meter: MemoryMeter | None = None
        self._saved: SavedAtForwardsEnd | None = None
        self.notes: tuple[str, ...] = ()

    def built(self, built: BuiltOnTwin) -> None:
        """Keep what the reader must know of what was built."""
        self.notes = built.prepared.notes

    def settled(self, built: BuiltOnTwin) -> Sequence[Observer]:
        """Return the observers of the steady step."""
        self._meter = meter_on(built)
        if not self._with_saved:
            return (self._meter,)
        # Hooks on what is saved leave every allocation as it is; to see what else is held takes a mode.
        self._saved = saved_observer(built.cell, built.prepared, built.step, explained=False)
        return (self._saved, self._meter)

    def result(self) -> tuple[MemoryProfile, SavedTensors | None]:
        """Return memory and saved tensors of the steady step; to be called after it."""
        assert self._meter is not None
        return self._meter.profile(), self._saved.result if self._saved is not None else None
