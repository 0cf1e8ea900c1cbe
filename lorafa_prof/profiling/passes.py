"""The calls of a step that are measured: one for what autograd saves, and one for bytes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.profiling.attribution import Attribution
from lorafa_prof.profiling.model_seen import ModelSeen
from lorafa_prof.profiling.phase_meter import MeteredStep, PhaseMeter
from lorafa_prof.profiling.place import StepPlace
from lorafa_prof.profiling.step_calls import StepWatch, step_calls

Step = Callable[[], Any]
#: Tensors that can have a gradient.
Leaves = Sequence[weakref.ref[Tensor]]

# What a step raises is shown by pytest as if it was called by the test.
__tracebackhide__ = True


def run_step(step: Step, watch: StepWatch, bare: Leaves) -> None:
    """Call `step`. If it returns a loss and has run no backward, run it, and let `bare` be bare again."""
    with step_calls(watch) as calls:
        result = step()
        if calls.done:
            return
        if not _is_loss(result):
            watch.forward_ended()
            return
        result.backward()
    for reference in bare:
        if (leaf := reference()) is not None:
            leaf.grad = None


def _is_loss(result: Any) -> bool:
    return isinstance(result, Tensor) and result.requires_grad and result.numel() == 1


class Unwatched:
    """For a warm-up call."""

    def forward_ended(self) -> None:
        """Nothing is looked at."""

    def backward_ended(self, keeps_graph: bool) -> None:
        """Nothing is looked at."""

    def optimizer_started(self, optimizer: Optimizer) -> None:
        """Nothing is looked at."""

    def optimizer_ended(self) -> None:
        """Nothing is looked at."""


def attribute(
    step: Step, model: nn.Module | None, place: StepPlace, bare: Leaves, seen: ModelSeen, *, flops: bool
) -> Attribution:
    """Call `step`, record what is saved, and count FLOPs if asked; `seen` is told of optimizers."""
    attribution = Attribution(model, place.device_type, flops=flops, seen=seen)
    with attribution:
        run_step(step, attribution, bare)
    return attribution


def measure_bytes(step: Step, place: StepPlace, bare: Leaves, replaced_bytes: int) -> MeteredStep:
    """Call `step` with nothing but the allocator's counters looking.

    Args:
        step: as of `profile`.
        place: where memory is counted.
        bare: leaves without a gradient.
        replaced_bytes: of gradients there at the start that the step lets go of and makes anew: its own.
    """
    # What others left in cycles would be let go of in the midst of the step.
    gc.collect()
    with place.counters() as counters:
        meter = PhaseMeter(counters, replaced_bytes=replaced_bytes)
        run_step(step, meter, bare)
        meter.step_ended()
    (metered,) = meter.steps
    return metered


def let_go(step: Step, place: StepPlace, bare: Leaves, replaced: Sequence[Tensor]) -> int:
    """Bytes of the gradients of `replaced`, which are let go of, and made again by a call of `step`."""
    if not replaced:
        return 0
    with place.counters() as counters:
        before = counters.current().allocated
        for leaf in replaced:
            leaf.grad = None
        freed = before - counters.current().allocated
    run_step(step, Unwatched(), bare)
    return freed
