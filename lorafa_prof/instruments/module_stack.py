"""The modules that are running, with their paths, from hooks on every module's forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


class ModuleStack:
    """A context that knows which modules of `root` are in forward, outermost first.

    Args:
        root: the module that paths start from.
        on_change: called with the path whenever another module becomes the innermost.
    """

    def __init__(self, root: nn.Module, on_change: Callable[[str], None] | None = None) -> None:
        self._on_change = on_change
        self._names = {id(module): name for name, module in root.named_modules()}
        self._stack: list[nn.Module] = []
        self._handles: list[Any] = []

    @property
    def path(self) -> str:
        """Path of the innermost module in forward; empty outside of all modules."""
        return self._names[id(self._stack[-1])] if self._stack else ""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules in forward, outermost first."""
        return tuple(self._stack)

    def __enter__(self) -> ModuleStack:
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        return self

    def __exit__(self, *exc: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._stack.clear()

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if id(module) in self._names:
            self._stack.append(module)
            self._changed()

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if id(module) in self._names and self._stack and self._stack[-1] is module:
            self._stack.pop()
            self._changed()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self.path)
