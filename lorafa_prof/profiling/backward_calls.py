"""Noticing when a step runs backward, whichever way it calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

import torch

__tracebackhide__ = True


class ForwardWatch(Protocol):
    """Told of the ends of forwards, and of the backwards after them."""

    def forward_ended(self) -> None:
        """Called right before a backward, and at the step's end if it ran none; all is still held."""

    def backward_ended(self, keeps_graph: bool) -> None:
        """Called right after; `keeps_graph`: it was run to be differentiated itself."""


class BackwardCalls:
    """A watch, told by the functions that `wrapped` makes.

    Attributes:
        done: whether the last backward is one after which there is none to come.
    """

    def __init__(self, watch: ForwardWatch) -> None:
        self.done = False
        self._watch = watch
        self._depth = 0
        self._keeps_graph = False

    @property
    def running(self) -> bool:
        """Whether a backward is running."""
        return self._depth > 0

    def wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.autograd.backward` or `.grad`, watched."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._noticed():
                return function(*args, **kwargs)

        return call

    def wrapped_engine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What both call, watched: for those who hold on to the two themselves."""

        @wraps(function)
        def call(outputs: Any, gradients: Any, retain: bool, create: bool, *args: Any, **kwargs: Any) -> Any:
            with self._noticed():
                self._keeps_graph |= create
                return function(outputs, gradients, retain, create, *args, **kwargs)

        return call

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        if self._depth == 0:
            self._keeps_graph = False
            self._watch.forward_ended()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._depth == 0:
            self.done = not self._keeps_graph
            self._watch.backward_ended(self._keeps_graph)


@contextmanager
def backward_calls(watch: ForwardWatch) -> Iterator[BackwardCalls]:
    """A context in which `watch` is told of every backward.

    It replaces functions of PyTorch for the whole process. A `TorchFunctionMode` would not do: modules ask
    for one, and nn.TransformerEncoder, for example, goes another way where there is any.
    """
    calls = BackwardCalls(watch)
    # By name: type stubs hide the engine's.
    module: Any = torch.autograd
    engine = "_engine_run_backward"
    originals = {name: getattr(module, name) for name in ("backward", "grad", engine)}
    try:
        for name, function in originals.items():
            setattr(
                module, name, calls.wrapped_engine(function) if name == engine else calls.wrapped(function)
            )
        yield calls
    finally:
        for name, function in originals.items():
            setattr(module, name, function)
