"""Counting the FLOPs of a cell's step on the twin of its GPU, whatever memory it takes."""

from __future__ import annotations

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.devices.sim.honesty import notes_of_assumptions
from lorafa_prof.instruments.flops.counter import FlopCount, FlopCounter
from lorafa_prof.running.on_twin import TwinWatch, make_twin, noting, run_on_twin
from lorafa_prof.running.passes import explained_step
from lorafa_prof.running.prediction import UNLIMITED


def predict_flops(cell: Cell) -> tuple[FlopCount, list[str]]:
    """Return the FLOPs of the step that `run` counts them of, and notes on what they hang on.

    What is not known of the GPU's memory does not matter to them.

    Args:
        cell: a cell whose device is the twin of a GPU.
    """
    twin = make_twin(cell, capacity_bytes=UNLIMITED)
    with noting(twin, cell, []):
        built = run_on_twin(cell.model_copy(update={"steps": Steps(warmup=1, timed=1)}), twin, TwinWatch())
        step = explained_step(built.step)
        with FlopCounter(built.prepared.model) as counter:
            step.run((counter,))
    return counter.count(), [*built.prepared.notes, *notes_of_assumptions(twin)]
