"""Noticing the phases of any step: when it runs backward, updates weights, or lets go of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lorafa_prof.profiling.backward_calls import BackwardCalls, ForwardWatch, backward_calls

__tracebackhide__ = True


class StepWatch(ForwardWatch, Protocol):
    """Told of all phases of a step."""

    def optimizer_started(self, optimizer: Optimizer) -> None:
        """Called right before an optimizer's step."""

    def optimizer_ended(self) -> None:
        """Called right after it."""


@contextmanager
def step_calls(watch: StepWatch) -> Iterator[BackwardCalls]:
    """A context in which `watch` is told of every backward and every optimizer's step.

    An optimizer that runs inside of backward, or of another optimizer, is a part of that.
    """
    depth = 0
    with ExitStack() as stack:
        calls = stack.enter_context(backward_calls(watch))

        def started(optimizer: Any, args: Any, kwargs: Any) -> None:
            nonlocal depth
            if not calls.running:
                depth += 1
                if depth == 1:
                    watch.optimizer_started(optimizer)

        def ended(optimizer: Any, args: Any, kwargs: Any) -> None:
            nonlocal depth
            if not calls.running and depth:
                depth -= 1
                if depth == 0:
                    watch.optimizer_ended()

        stack.callback(register_optimizer_step_pre_hook(started).remove)
        stack.callback(register_optimizer_step_post_hook(ended).remove)
        yield calls


@contextmanager
def dropped_gradients(allocated: Callable[[], int], tell: Callable[[int], None]) -> Iterator[None]:
    """A context in which `tell` gets the bytes that each `zero_grad`, of a model or an optimizer, lets go of.

    Args:
        allocated: returns the bytes that are allocated.
        tell: is given how many fewer there are after a call.
    """
    owners: tuple[Any, ...] = (Optimizer, nn.Module)
    originals = [owner.zero_grad for owner in owners]
    inside = False

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def zero_grad(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            if inside:
                return function(*args, **kwargs)
            inside, before = True, allocated()
            try:
                return function(*args, **kwargs)
            finally:
                inside = False
                tell(before - allocated())

        return zero_grad

    try:
        for owner, function in zip(owners, originals, strict=True):
            owner.zero_grad = watched(function)
        yield
    finally:
        for owner, function in zip(owners, originals, strict=True):
            owner.zero_grad = function
