"""The calls of a step that are measured: one for what autograd saves, and one for bytes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.instruments.saved.kinds import LOSS_OPS, SavePoint, kind_of
from lorafa_prof.instruments.saved.recorder import SavedStorage, SavedTensorsRecorder
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.parts import SavedKind
from lorafa_prof.profiling.living import living_tensors
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


@dataclass(frozen=True)
class SavedInStep:
    """What autograd held at the end of the forward that saved most.

    Attributes:
        storages: without those that were there before the step, largest first.
        replaced: leaves whose gradient was there before the step, and which the step itself let go of before
            backward: `optimizer.zero_grad()` does so in a step that begins with it.
    """

    storages: tuple[SavedStorage, ...]
    replaced: tuple[Tensor, ...]


def record_saved(step: Step, model: nn.Module | None, place: StepPlace, bare: Leaves) -> SavedInStep:
    """Call `step` and record what is saved."""
    before = living_tensors(place.device_type)
    recorder = SavedTensorsRecorder(
        model, device_type=place.device_type, before=before, rule=kind_in_any_code, otherwise=False
    )
    watch = _SavedWatch(recorder, [one for one in before if one.is_leaf and one.grad is not None])
    del before  # a gradient among them would outlive its end
    with recorder:
        run_step(step, watch, bare)
    storages = sorted(watch.storages, key=lambda storage: -storage.nbytes)
    return SavedInStep(tuple(storages), tuple(watch.replaced))


class _SavedWatch(Unwatched):
    def __init__(self, recorder: SavedTensorsRecorder, with_gradient: list[Tensor]) -> None:
        self.storages: list[SavedStorage] = []
        self.replaced: list[Tensor] = []
        self._recorder = recorder
        self._with_gradient = with_gradient

    def forward_ended(self) -> None:
        storages = [storage for storage in self._recorder.result().storages if not storage.from_before]
        self.storages = max(self.storages, storages, key=lambda s: sum(storage.nbytes for storage in s))
        self.replaced += [leaf for leaf in self._with_gradient if leaf.grad is None]
        self._with_gradient = []


#: Around a step's modules, so that none of them is taken for a model with a loss of its own.
_AROUND = (nn.Module(), nn.Module())


def kind_in_any_code(
    point: SavePoint, shape: tuple[int, ...], dtype: torch.dtype, ranks: frozenset[int]
) -> SavedKind:
    """As `kind_of`, which takes for the loss's whatever a model saves outside of its modules."""
    if point.op not in LOSS_OPS:
        point = replace(point, modules=(*_AROUND, *point.modules))
    innermost = point.modules[-1] if point.modules else None
    if isinstance(innermost, LowRankLinear):
        ranks = frozenset({innermost.rank})
    return kind_of(point, shape, dtype, ranks)


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


def let_go(step: Step, place: StepPlace, bare: Leaves, replaced: tuple[Tensor, ...]) -> int:
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
