"""Following a script's steps: when it computes forward, backward and updates, and ending it after enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lorafa_prof.instruments.memory.storages import optimizer_tensors
from lorafa_prof.predicting.recorder import Moment, Recorder
from lorafa_prof.profiling.backward_calls import backward_calls
from lorafa_prof.profiling.living import living_linear_weights, living_tensors


class EnoughSteps(BaseException):
    """The script has taken as many optimizer steps as were asked for. Like SystemExit, no error."""


class Steps:
    """Counts optimizer steps, and tells which phase it is.

    Args:
        enough: after so many the script is ended.

    Attributes:
        done: optimizer steps so far.
        phase: "build" before the first module runs, then "forward", "evaluation", "backward" or "optimizer".
    """

    def __init__(self, enough: int) -> None:
        self.done = 0
        self.phase = "build"
        self._enough = enough
        self._recorder: Recorder | None = None
        self._weights_noted = False
        self._training = False

    def moment(self) -> Moment:
        """Return when it is."""
        return Moment(self.done + 1, self.phase)

    @contextmanager
    def followed(self, recorder: Recorder) -> Iterator[None]:
        """A context in which the script's steps are seen, and told to `recorder`."""
        self._recorder = recorder
        with ExitStack() as stack:
            stack.enter_context(backward_calls(self))
            stack.callback(register_module_forward_pre_hook(self._module_called).remove)
            stack.callback(register_optimizer_step_pre_hook(self._update_begins).remove)
            stack.callback(register_optimizer_step_post_hook(self._update_ended).remove)
            yield

    def forward_ended(self) -> None:
        """Backward begins."""
        assert self._recorder is not None
        if not self._weights_noted:
            self._weights_noted = True
            self.note_living()
        self._recorder.forward_ended()
        self._training = False
        self.phase = "backward"

    def backward_ended(self, keeps_graph: bool) -> None:
        """Gradients are there; whatever comes now is forward, unless an optimizer begins."""
        del keeps_graph
        self.phase = "forward"

    def note_living(self) -> None:
        """Note weights and their gradients among all that lives."""
        assert self._recorder is not None
        weights = [each for each in living_tensors("cuda") if isinstance(each, nn.Parameter)]
        self._recorder.note("weights", weights)
        self._recorder.note("gradients", (each.grad for each in weights if each.grad is not None))
        self._recorder.mark("trains", (each for each in weights if each.requires_grad))
        self._recorder.mark("linear", living_linear_weights())

    def _module_called(self, *_: Any) -> None:
        """A module is called: with gradients it trains; without, it is evaluated, but where another trains.

        So parts of a forward without gradients, and a reference model beside it, are parts of that forward.
        """
        if self.phase in ("backward", "optimizer"):
            return
        if torch.is_grad_enabled():
            self._training = True
            self.phase = "forward"
        elif not self._training:
            self.phase = "evaluation"

    def _update_begins(self, optimizer: Optimizer, *_: Any) -> None:
        assert self._recorder is not None
        self.phase = "optimizer"
        parameters = _parameters(optimizer)
        self._recorder.note("weights", parameters)
        self._recorder.note("gradients", (each.grad for each in parameters if each.grad is not None))

    def _update_ended(self, optimizer: Optimizer, *_: Any) -> None:
        assert self._recorder is not None
        self._recorder.note("optimizer", optimizer_tensors(optimizer, "cuda"))
        self._recorder.mark("adam", _adams_moments(optimizer))
        self.done += 1
        self.phase = "forward"
        if self.done >= self._enough:
            raise EnoughSteps


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


def _adams_moments(optimizer: Optimizer) -> Iterator[Tensor]:
    for state in optimizer.state.values():
        if {"exp_avg", "exp_avg_sq"} <= state.keys() and "max_exp_avg_sq" not in state:
            yield from (state["exp_avg"], state["exp_avg_sq"])
