"""Noticing where code that is no module calls one, and whether with gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook


@contextmanager
def outermost_calls(tell: Callable[[bool], None]) -> Iterator[None]:
    """A context in which `tell` is called before each call of a module that no other module makes.

    Modules within modules switch gradients off for parts of a training forward, such as positions, or all of
    a checkpointed layer.

    Args:
        tell: gets whether gradients are on.
    """
    depth = 0

    def begins(*_: Any) -> None:
        nonlocal depth
        if depth == 0:
            tell(torch.is_grad_enabled())
        depth += 1

    def ends(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    before = register_module_forward_pre_hook(begins)
    after = register_module_forward_hook(ends, always_call=True)
    try:
        yield
    finally:
        before.remove()
        after.remove()
