"""The pass that measures gradient fidelity, and which cells can have it."""

from __future__ import annotations

from collections.abc import Iterator

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.fidelity.adapters import adapters_of, others_of
from lorafa_prof.instruments.fidelity.measure import fidelity_of_adapters, fidelity_of_weights
from lorafa_prof.methods.base import METHODS, Prepared
from lorafa_prof.models.kernels import COMPILE, PACKED
from lorafa_prof.results.measured import Measured
from lorafa_prof.step import Step, TrainingStep
from lorafa_prof.words.phrases import count, first_of

FIDELITY = "fidelity"
NOT_ON_A_TWIN = "fidelity: a twin has shapes and no numbers; measure it on a GPU or the CPU"


def check_fidelity(cell: Cell) -> None:
    """Check that the full gradients of the cell's weights can be had in its step, if they are asked for.

    Raises:
        UsageError: they cannot; the line says what to set instead.
    """
    if FIDELITY not in cell.instruments:
        return
    reason = next(_reasons(cell), None)
    if reason is not None:
        raise UsageError(f"instruments 'fidelity' {reason}, or leave it out", about="instruments")


def _reasons(cell: Cell) -> Iterator[str]:
    """Yield why the gradients cannot be had, each with what to set instead."""
    if cell.is_evaluation:
        yield "looks at gradients, and an evaluation has none; set phase to train"
    if cell.parallel != "none":
        yield f"is of a step on one GPU, and parallel is {cell.parallel}; set parallel to none"
    if cell.update == "backward":
        yield "needs the weights as they were until backward ends; set update to step"
    if cell.kernels in (COMPILE, PACKED):
        yield (
            f"looks at layers one by one, and kernels '{cell.kernels}' run several as one; set kernels to "
            "eager, fused or liger"
        )


def measure_fidelity(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Measure how close the step's change of the weights is to their full gradients, into `measured`."""
    assert isinstance(step, TrainingStep)
    model = prepared.model
    if adapters := adapters_of(model):
        measured.fidelity = fidelity_of_adapters(model, step, adapters)
        seen = {weight.path for weight in measured.fidelity.weights}
        unseen = [*others_of(model), *(adapter.path for adapter in adapters if adapter.path not in seen)]
    elif METHODS[cell.method.name].default_adapter_dtype is None:
        measured.fidelity = fidelity_of_weights(model, step)
        unseen = []
    else:
        unseen = others_of(model)
    if measured.fidelity is None or not measured.fidelity.weights:
        measured.fidelity = None
        measured.unavailable[FIDELITY] = why = (
            "fidelity: no linear layer trains, neither whole nor by low-rank factors"
        )
        measured.notes.append(why)
    elif unseen:
        measured.notes.append(f"fidelity leaves out {count(len(unseen), 'adapter')} ({first_of(unseen, 3)})")
