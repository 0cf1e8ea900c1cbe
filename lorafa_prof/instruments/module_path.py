"""The module that an operation belongs to, in forward and in backward."""

from __future__ import annotations

import bisect
from typing import Any

import torch
from torch import nn

from lorafa_prof.instruments.module_stack import ModuleStack
from lorafa_prof.layers.recomputing import is_recomputing
from lorafa_prof.step import Phase


class ModulePaths:
    """A context and observer around steps of `model`; `path` is the module of the running operation.

    In backward, an operation belongs to the module whose forward made the autograd node being run: nodes
    are numbered in the order they are made, so a node's number tells its module.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = ModuleStack(model, self._entered)
        self._phase: Phase | None = None
        self._in_forward = _Nodes()
        self._in_backward = _Nodes()
        self._outer_task: int | None = None

    def __enter__(self) -> ModulePaths:
        self._modules.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._modules.__exit__(*exc)

    def phase_started(self, phase: Phase) -> None:
        """Attribute operations to this phase from now on."""
        self._phase = phase
        if phase == "forward":
            self._in_forward.clear()
        if phase == "backward":
            self._in_backward.clear()
            self._outer_task = None

    def phase_ended(self, phase: Phase) -> None:
        """Attribute operations to no phase until the next one starts."""
        self._phase = None

    @property
    def phase(self) -> Phase | None:
        """The phase that the step is in; None between phases."""
        return self._phase

    @property
    def recomputing(self) -> bool:
        """Whether backward is running a part of forward again, as checkpointing does."""
        return self._phase == "backward" and (bool(self._modules.modules) or is_recomputing())

    @property
    def path(self) -> str:
        """Path of the module that the running operation belongs to; empty outside of all modules."""
        if self._phase == "forward" or self._modules.modules:
            return self._modules.path
        node = torch._C._current_autograd_node()
        return "" if node is None else self.path_of(node)

    def path_of(self, node: Any) -> str:
        """Return the path of the module whose last forward made this autograd node."""
        nodes = self._in_backward if self._in_a_backward_inside() else self._in_forward
        return nodes.path_of(node._sequence_nr())

    def _in_a_backward_inside(self) -> bool:
        """Whether this is the backward that reentrant checkpointing runs, inside of backward, of one layer.

        Its nodes were made in backward's thread, which on a GPU numbers them anew.
        """
        task = torch._C._current_graph_task_id()
        if task == -1:
            return False
        if self._outer_task is None:
            self._outer_task = task
        return task != self._outer_task

    def _entered(self, path: str) -> None:
        if self._phase == "forward":
            self._in_forward.add(path)
        elif self._phase == "backward":
            self._in_a_backward_inside()
            self._in_backward.add(path)


class _Nodes:
    """The path of the module that made each autograd node, of nodes made in one thread."""

    def __init__(self) -> None:
        self._first: list[int] = []
        self._path_from: list[str] = []

    def clear(self) -> None:
        self._first.clear()
        self._path_from.clear()

    def add(self, path: str) -> None:
        """Nodes made from now on are of the module at `path`."""
        self._first.append(torch._C._autograd._get_sequence_nr())
        self._path_from.append(path)

    def path_of(self, number: int) -> str:
        index = bisect.bisect_right(self._first, number) - 1
        return self._path_from[index] if index >= 0 else ""
