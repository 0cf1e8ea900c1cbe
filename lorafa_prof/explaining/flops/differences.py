"""Why two opinions on a module's FLOPs differ: causes whose FLOPs add up to the difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from lorafa_prof.cell import Cell
from lorafa_prof.explaining.flops.modules import NONE, Opinions
from lorafa_prof.models.kernels import OWN_LOSS
from lorafa_prof.step import Phase

UNKNOWN = "no cause that is known here has just these FLOPs"
ADAPTERS = "fvcore traces the network without adapters, into whose autograd functions it cannot see"
RECOMPUTED = "checkpointing runs the module's forward once more in backward"
PART_RECOMPUTED = "checkpointing runs a part of the module's forward once more in backward"
INPUT_GRADIENT = (
    "checkpointing lets the embeddings' output require a gradient, which the first block then passes on"
)
LOSS_IN_FORWARD = "a loss that keeps no logits makes the output layer's gradients in forward already"
UNFUSED = "attention is done by products here, which keep the scores that a fused kernel forms again"
PACKED = "packed layers do several layers' products in one, with small ranks filled up for the kernels"
DOCUMENTS = "of packed documents attention meets its own document's tokens only"
NO_FORMULA = "the closed form has linear layers, attention and rotary positions only"
NOT_TRACED = "fvcore does not know the operations of this module"


@dataclass(frozen=True)
class Cause:
    """A cause that the executed FLOPs of a module and phase are not another opinion's: by so many."""

    text: str
    flops: int


def why_not_closed(opinions: Opinions, path: str, phase: Phase) -> tuple[str, ...]:
    """Return why the executed FLOPs of a module differ from the closed form's; of none that do, nothing."""
    assert opinions.closed is not None
    executed, closed = opinions.executed.get(path, NONE), opinions.closed.get(path, NONE)
    index = 0 if phase == "forward" else 1
    difference = executed[index] - closed[index]
    if not difference:
        return ()
    if found := _adding_up(difference, list(_causes(opinions, path, phase))):
        return found
    return (_without_number(opinions, path, phase),)


def why_not_fvcore(opinions: Opinions, path: str) -> tuple[str, ...]:
    """Return why the executed FLOPs of a module's forward differ from fvcore's; of none that do, nothing."""
    assert opinions.fvcore is not None
    difference = opinions.executed.get(path, NONE).forward - opinions.fvcore.get(path, 0)
    if not difference:
        return ()
    adapters = Cause(ADAPTERS, opinions.adapters.get(path, 0))
    if found := _adding_up(difference, [adapters, *_causes(opinions, path, "forward")]):
        return found
    if path not in opinions.fvcore:
        return (NOT_TRACED,)
    return (_without_number(opinions, path, "forward"),)


def _adding_up(difference: int, causes: list[Cause]) -> tuple[str, ...]:
    """Return the fewest causes whose FLOPs add up to the difference; empty if none do."""
    real = [cause for cause in causes if cause.flops]
    for count in range(1, len(real) + 1):
        for chosen in combinations(real, count):
            if sum(cause.flops for cause in chosen) == difference:
                return tuple(cause.text for cause in chosen)
    return ()


def _causes(opinions: Opinions, path: str, phase: Phase) -> Iterator[Cause]:
    """Yield what the cell's settings may do to a module's FLOPs, with how many they would be."""
    cell = opinions.cell
    closed = (opinions.closed or {}).get(path, NONE)
    *_, head = opinions.adapters or ("",)
    if path == head and _makes_gradients_in_forward(cell):
        yield Cause(LOSS_IN_FORWARD, closed.backward if phase == "forward" else -closed.backward)
    if phase == "forward":
        return
    if cell.checkpointing != "none":
        asked = opinions.closed_with_gradient.get(path, NONE)
        yield Cause(RECOMPUTED, closed.forward)
        yield Cause(INPUT_GRADIENT, asked.backward - closed.backward)
    if cell.attention != "eager" and path not in opinions.adapters:
        yield Cause(UNFUSED, -closed.backward // 5)


def _without_number(opinions: Opinions, path: str, phase: Phase) -> str:
    """Return what has a part in the difference, as far as that is known; how many FLOPs is not."""
    cell = opinions.cell
    if cell.kernels == "packed":
        return PACKED
    if cell.packing and path not in opinions.adapters:
        return DOCUMENTS
    if cell.checkpointing != "none" and phase == "backward":
        return PART_RECOMPUTED
    if path not in (opinions.closed or {}):
        return NO_FORMULA
    return UNKNOWN


def _makes_gradients_in_forward(cell: Cell) -> bool:
    return (cell.kernels in OWN_LOSS or cell.loss == "chunked") and not cell.is_evaluation
