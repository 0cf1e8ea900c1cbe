"""The full gradients of adapted weights, one at a time: G = dyᵀ x, formed as backward comes to a layer.

Each layer's output passes through a node of autograd that keeps the layer's input, and gets in backward the
gradient of its output. What checkpointing recomputes or offloads, it does with this input too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lorafa_prof.step import Phase

#: So many tokens are multiplied at once, in a type twice as wide as theirs.
_TOKENS_AT_ONCE = 4096


class FullGradients:
    """An observer of a training step that hands on the full gradient of each layer's weight, then frees it.

    Of several micro-batches each is handed on.

    Args:
        layers: linear, by their paths; quantized or not, frozen or not.
        take: called in backward with a path and its gradient [out, in], of float32, or float64 of layers in
            that. A layer that is called several times in a forward has one gradient, the sum.
    """

    def __init__(self, layers: Iterable[tuple[str, nn.Module]], take: Callable[[str, Tensor], None]) -> None:
        self._take = take
        self._calls: Counter[str] = Counter()
        self._sums: dict[str, Tensor] = {}
        self._in_forward = False
        self._handles = [layer.register_forward_hook(self._hook(path)) for path, layer in layers]

    def __enter__(self) -> FullGradients:
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def phase_started(self, phase: Phase) -> None:
        """Forget what an earlier forward left if this is one."""
        if phase == "forward":
            self._in_forward = True
            self._calls.clear()
            self._sums.clear()

    def phase_ended(self, phase: Phase) -> None:
        """Take calls in backward for recomputations from now on, if this is forward."""
        if phase == "forward":
            self._in_forward = False

    def _hook(self, path: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def pass_through(layer: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
            del layer
            if self._in_forward:
                self._calls[path] += 1
            take = partial(self._add, path)
            passed: Tensor = _PassThrough.apply(y, args[0].detach(), take)  # type: ignore[no-untyped-call]
            return passed

        return pass_through

    def _add(self, path: str, x: Tensor, dy: Tensor) -> None:
        gradient = self._sums.pop(path, None)
        if gradient is None:
            dtype = torch.promote_types(dy.dtype, torch.float32)
            gradient = dy.new_zeros(dy.shape[-1], x.shape[-1], dtype=dtype)
        add_products_(gradient, x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1]))
        self._calls[path] -= 1
        if self._calls[path] > 0:
            self._sums[path] = gradient
        else:
            self._take(path, gradient)


def add_products_(gradient: Tensor, x: Tensor, dy: Tensor) -> None:
    """Add dyᵀ x to `gradient` [out, in], in its type, for x [n, in] and dy [n, out].

    The layer has multiplied by x in the type of dy, which under autocast is not x's own.
    """
    for some_x, some_dy in zip(x.split(_TOKENS_AT_ONCE), dy.split(_TOKENS_AT_ONCE), strict=True):
        gradient.addmm_(some_dy.t().to(gradient.dtype), some_x.to(dy.dtype).to(gradient.dtype))


class _PassThrough(torch.autograd.Function):
    """y, unchanged; calls `seen` in backward with x and the gradient of y."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, seen: Callable[[Tensor, Tensor], None]) -> Tensor:
        """Return y."""
        ctx.save_for_backward(x)
        ctx.seen = seen
        return y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        """Return dy."""
        (x,) = ctx.saved_tensors
        ctx.seen(x, dy)
        return dy, None, None
