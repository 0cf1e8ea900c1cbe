"""What a step's memory is made of, by the twin of its GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lorafa_prof.cell import Cell
from lorafa_prof.devices.sim.settings import AllocatorSettings
from lorafa_prof.explaining.composition import (
    Composition,
    composition_at,
    left_by_forward,
    peak_moment,
)
from lorafa_prof.running.prediction import UNLIMITED
from lorafa_prof.running.recorded_step import RecordedStep, record_step


@dataclass(frozen=True)
class RanOut:
    """Where memory ran out.

    Attributes:
        composition: of what was live then; its place is the request that could not be served.
        requested_bytes: of that request.
        capacity_bytes: what the allocator could get.
    """

    composition: Composition
    requested_bytes: int
    capacity_bytes: int


@dataclass(frozen=True)
class PredictedStep:
    """A steady step, or an evaluation, on the twin.

    Attributes:
        peak: what is live when most is allocated.
        activation: what forward leaves for backward, at the end of the last micro-batch's, and of a run's
            longest step; None where there is no backward.
        peak_reserved_bytes: of the whole process.
        ran_out: where memory runs out; then all else is of the step with as much memory as it wants.
        notes: what a reader must know of the prediction.
    """

    peak: Composition
    activation: Composition | None
    peak_reserved_bytes: int
    ran_out: RanOut | None
    notes: tuple[str, ...]


def predicted_step(cell: Cell, settings: AllocatorSettings | None = None) -> PredictedStep:
    """Run a cell on its twin and see what its memory is made of.

    Args:
        cell: its device is the twin of a GPU.
        settings: of the allocator; None: as the environment has it.
    """
    watched = record_step(cell, settings=settings)
    ran_out = None
    if watched.memory is None:
        limited, watched = watched, record_step(cell, UNLIMITED, settings)
        ran_out = _ran_out(limited, watched)
    timeline, notes, memory = watched.timeline, watched.notes, watched.memory
    assert memory is not None
    activation = None
    if memory.has_backward:
        forwards = [span for span in timeline.steady_spans if span.phase == "forward"]
        forward = forwards[(cell.longest_step + 1) * cell.accumulation - 1]
        activation = left_by_forward(timeline, notes, forward.end, memory.activation_bytes)
    return PredictedStep(
        peak=composition_at(timeline, notes, peak_moment(timeline), memory.peak_allocated_bytes),
        activation=activation,
        peak_reserved_bytes=memory.peak_reserved_bytes or 0,
        ran_out=ran_out,
        notes=timeline.notes,
    )


def _ran_out(limited: RecordedStep, whole: RecordedStep) -> RanOut:
    """What lived when memory ran out, each block told by what becomes of it where memory does not."""
    failure = limited.timeline.out_of_memory
    assert failure is not None
    # The same requests in the same order: an allocation has the same number in both.
    timeline = replace(limited.timeline, kinds=whole.timeline.kinds)
    composition = composition_at(timeline, whole.notes, len(timeline.events), failure.error.allocated_bytes)
    return RanOut(
        replace(composition, place=failure.place),
        failure.error.requested_bytes,
        failure.error.capacity_bytes or 0,
    )
