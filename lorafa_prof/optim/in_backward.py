"""Updating each weight in backward, as soon as its gradient is complete, and freeing that gradient.

As in PyTorch's tutorial "How to save memory by fusing the optimizer step into the backward pass": one
optimizer of each parameter, run by a hook of `register_post_accumulate_grad_hook`.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.optim.optimizer import MakeOptimizer


class UpdatesInBackward(Optimizer):
    """Many optimizers, each of one parameter, that look like one whose step has nothing left to do.

    State and parameter groups are those of the many. A hook before the step is run before each of theirs.

    Args:
        params: parameters that all train.
        make: makes the optimizer of one parameter.

    Attributes:
        before_update: called with each parameter right before its update, when it has its gradient.
    """

    def __init__(self, params: list[torch.nn.Parameter], make: MakeOptimizer) -> None:
        super().__init__(params, {})
        self.before_update: list[Callable[[torch.nn.Parameter], None]] = []
        self._parts = {id(param): make([param]) for param in params}
        self._updated: set[int] = set()
        self._hooks: OrderedDict[int, Any] = OrderedDict()
        self._share_parts()
        # Weak, since parameters outlive their optimizer, which holds them.
        this = weakref.ref(self)
        for param in params:
            param.register_post_accumulate_grad_hook(lambda param: _update(this(), param))

    def _share_parts(self) -> None:
        """Make the parts' states one, and its groups theirs."""
        for part in self._parts.values():
            self.state.update(part.state)
            part.state = self.state
        self.param_groups = [group for part in self._parts.values() for group in part.param_groups]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` gave, each parameter's part of it by its own optimizer.

        Raises:
            ValueError: it is of another number of parameters.
        """
        for part, group in zip(self._parts.values(), state_dict["param_groups"], strict=True):
            state = {number: state_dict["state"].get(number, {}) for number in group["params"]}
            part.load_state_dict({"state": state, "param_groups": [group]})
        self.state = defaultdict(dict)
        self._share_parts()

    def register_step_pre_hook(self, hook: Any) -> RemovableHandle:
        """Register a hook that runs before each parameter's update, with that parameter's optimizer."""
        handle = RemovableHandle(self._hooks)
        self._hooks[handle.id] = hook
        return handle

    def step(self, closure: Any = None) -> Any:
        """End the step: all weights are updated already."""
        del closure
        self._updated.clear()

    def update(self, param: torch.nn.Parameter) -> None:
        """Update `param` by its gradient, and free that.

        Raises:
            LorafaProfError: it was updated in this step already, by a part of its gradient.
        """
        if id(param) in self._updated:
            raise LorafaProfError(
                "update 'backward': the gradient of a weight that several checkpointed layers share comes in "
                "parts, so it would be updated by each; set checkpointing to full or none, or update to step",
                about="update",
            )
        self._updated.add(id(param))
        for look in self.before_update:
            look(param)
        part = self._parts[id(param)]
        for hook in self._hooks.values():
            hook(part, (), {})
        part.step()
        param.grad = None


def _update(optimizer: UpdatesInBackward | None, param: torch.Tensor) -> None:
    if optimizer is not None:
        assert isinstance(param, torch.nn.Parameter)
        optimizer.update(param)
