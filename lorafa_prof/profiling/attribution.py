"""What explains a step of any code: its saved tensors with their lines, and its FLOPs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import _get_current_function_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lorafa_prof.instruments.flops.counter import FlopCount, FlopCounter
from lorafa_prof.instruments.saved.recorder import SavedStorage, SavedTensorsRecorder
from lorafa_prof.profiling.kinds import kind_in_any_code
from lorafa_prof.profiling.living import living_tensors
from lorafa_prof.profiling.model_seen import ModelSeen
from lorafa_prof.step import Phase

__tracebackhide__ = True


class Attribution:
    """A watch of steps, and a context around them, in which saved tensors are recorded and FLOPs counted.

    Attributes:
        storages: what autograd held at the end of the forward that saved most, without what was there before,
            largest first.
        replaced: leaves whose gradient was there before, and which the step let go of before backward:
            `optimizer.zero_grad()` does so in a step that begins with it.

    Args:
        model: from which modules' paths are counted; None: from whichever module is called, but for FLOPs.
        device_type: of the tensors that are looked at.
        seen: is told of optimizers and their gradients.
        flops: whether to count FLOPs, which takes a dispatch mode.
    """

    def __init__(self, model: nn.Module | None, device_type: str, seen: ModelSeen, *, flops: bool) -> None:
        self._seen = seen
        before = living_tensors(device_type)
        self._recorder = SavedTensorsRecorder(
            model, device_type=device_type, before=before, rule=kind_in_any_code, otherwise=False
        )
        self._with_gradient = _with_gradient(before)
        del before  # a gradient among them would outlive its end
        self.storages: tuple[SavedStorage, ...] = ()
        self.replaced: list[Tensor] = []
        self._counter = FlopCounter(model if model is not None else nn.Module()) if flops else None
        self._phase: Phase | None = None
        self._contexts = ExitStack()
        self._modes: tuple[Any, Any] = (None, None)

    def __enter__(self) -> Attribution:
        self._contexts.enter_context(self._recorder)
        if self._counter is not None:
            self._contexts.enter_context(self._counter)
        self._modes = _innermost_modes()
        self._goes_into("forward")
        return self

    def __exit__(self, *exc: Any) -> None:
        self._goes_into(None)
        self._contexts.close()

    def begin_here(self, device_type: str) -> None:
        """Take all that lives for what was there before the step."""
        before = living_tensors(device_type)
        self._recorder.begins_with(before)
        self._with_gradient = _with_gradient(before)

    @property
    def can_leave(self) -> bool:
        """Whether what was entered last is this: modes that the code entered since must be left first."""
        return self._modes == _innermost_modes()

    def forward_ended(self) -> None:
        """Keep what is held if it is the most so far."""
        held = [storage for storage in self._recorder.result().storages if not storage.from_before]
        self.storages = max(self.storages, _largest_first(held), key=_bytes_of)
        self.replaced += [leaf for leaf in self._with_gradient if leaf.grad is None]
        self._with_gradient = []
        self._goes_into("backward")

    def backward_ended(self, keeps_graph: bool) -> None:
        """Recording goes on: there may be another micro-batch."""
        self._goes_into("forward")

    def optimizer_started(self, optimizer: Optimizer) -> None:
        """Its products are no forward's."""
        self._seen.optimizer_started(optimizer)
        self._goes_into("optimizer")

    def optimizer_ended(self) -> None:
        """Another forward may follow."""
        self._goes_into("forward")

    def flops(self) -> FlopCount | None:
        """Return what was counted; None if nothing was."""
        return self._counter.count() if self._counter is not None else None

    def _goes_into(self, phase: Phase | None) -> None:
        if self._counter is None:
            return
        if self._phase is not None:
            self._counter.phase_ended(self._phase)
        self._phase = phase
        if phase is not None:
            self._counter.phase_started(phase)


def _with_gradient(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [one for one in tensors if one.is_leaf and one.grad is not None]


def _largest_first(storages: list[SavedStorage]) -> tuple[SavedStorage, ...]:
    return tuple(sorted(storages, key=lambda storage: -storage.nbytes))


def _bytes_of(storages: tuple[SavedStorage, ...]) -> int:
    return sum(storage.nbytes for storage in storages)


def _innermost_modes() -> tuple[Any, ...]:
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)
    return (_get_current_function_mode(), _get_current_dispatch_mode(), hooks)
