"""The pass that measures gradient fidelity, and which cells can have it."""

from __future__ import annotations

from collections.abc import Iterator

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.fidelity.adapters import adapters_of, others_of
from lorafa_prof.instruments.fidelity.fidelity import Fidelity
from lorafa_prof.instruments.fidelity.measure import fidelity_of_adapters, fidelity_of_weights
from lorafa_prof.methods.base import METHODS, Prepared
from lorafa_prof.models.kernels import COMPILE, PACKED
from lorafa_prof.results.measured import Measured
from lorafa_prof.step import Step, TrainingStep
from lorafa_prof.words.phrases import count, first_of

FIDELITY = "fidelity"
NOT_ON_A_TWIN = "fidelity: a twin has shapes and no numbers; measure it on a GPU or the CPU"

NOTHING_TO_COMPARE = "fidelity: no linear layer trains, neither whole nor by low-rank factors alone"
NO_GRADIENT = "fidelity: the gradients of the weights are zero, or not finite"


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


def is_corrected(cell: Cell) -> bool:
    """Return whether gradients of B are corrected where the cell's A is frozen."""
    return cell.method.options.get("correction") is not False


def measure_fidelity(cell: Cell, prepared: Prepared, step: Step, measured: Measured) -> None:
    """Measure how close the step's change of the weights is to their full gradients, into `measured`."""
    assert isinstance(step, TrainingStep)
    model = prepared.model
    left_out = others_of(model)
    found: Fidelity | None = None
    if adapters := adapters_of(model):
        found = fidelity_of_adapters(model, step, adapters, is_corrected=is_corrected(cell))
        seen = {weight.path for weight in found.weights}
        left_out += [adapter.path for adapter in adapters if adapter.path not in seen]
    elif METHODS[cell.method.name].default_adapter_dtype is None:
        found = fidelity_of_weights(model, step)
    if found is None or not found.weights:
        measured.unavailable[FIDELITY] = NOTHING_TO_COMPARE
        measured.notes.append(NOTHING_TO_COMPARE)
        return
    measured.fidelity = found
    if found.plain.distance is None:
        measured.unavailable[FIDELITY] = NO_GRADIENT
        measured.notes.append(NO_GRADIENT)
    if left_out:
        measured.notes.append(
            f"fidelity leaves out {count(len(left_out), 'adapter')} ({first_of(left_out, 3)})"
        )
