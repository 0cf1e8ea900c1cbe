"""A gated activation on packed gate and up, and its gradients written over them (arXiv 2002.05202).

    out = act(gate) · up        of packed [n, 2i or more] = [gate, up], to which adapters are added first
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafa_prof.layers.packed.low_rank import add_parts
from lorafa_prof.layers.packed.operations import define, wide

#: Names in transformers of the activations that are known here.
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu"}


def _activation(gate: Tensor, activation: str) -> Tensor:
    return F.silu(gate) if activation == "silu" else F.gelu(gate, approximate="tanh")


def _slope(gate: Tensor, activation: str) -> Tensor:
    with torch.enable_grad():
        leaf = gate.detach().requires_grad_()
        (slope,) = torch.autograd.grad(_activation(leaf, activation).sum(), leaf)
    return slope


def _gated(
    packed: Tensor, low: Tensor | None, b: Tensor | None, scales: list[float], activation: str, out: Tensor
) -> None:
    width = out.shape[1]
    y = add_parts(packed[:, : 2 * width], low, b, scales, [width, 2 * width])
    out.copy_(_activation(y[:, :width], activation) * y[:, width:])


def _gated_backward_(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    scales: list[float],
    activation: str,
    grad: Tensor,
    grad_low: Tensor | None,
    a: Tensor | None,
    keep: bool,
) -> None:
    width = grad.shape[1]
    y = add_parts(packed[:, : 2 * width], low, b, scales, [width, 2 * width])
    gate, up = y[:, :width], y[:, width:]
    incoming = wide(grad)
    if grad_low is not None and a is not None:
        incoming = incoming + wide(grad_low) @ wide(a)
    activated = _activation(gate, activation)
    packed[:, :width] = (incoming * up * _slope(gate, activation)).to(packed.dtype)
    packed[:, width : 2 * width] = (incoming * activated).to(packed.dtype)
    if keep:
        grad.copy_(activated * up)


def _by_triton(*args: Any) -> None:
    from lorafa_prof.layers.triton_kernels import gated as kernels

    kernels.forward(*args)


def _backward_by_triton(*args: Any) -> None:
    from lorafa_prof.layers.triton_kernels import gated as kernels

    kernels.backward_(*args)


#: Write the module's formula to `out` [n, i].
gated = define(
    "gated(Tensor packed, Tensor? low, Tensor? b, float[] scales, str activation, Tensor(a!) out)",
    _gated,
    _by_triton,
)
#: Write the gradients of gate and up over `packed`, for that of `out`, `grad` [n, i], to which grad_low [n, r] times
#: a [r, i] is added first. With `keep`, `out` itself is written over `grad`.
gated_backward_ = define(
    "gated_backward_(Tensor(a!) packed, Tensor? low, Tensor? b, float[] scales, str activation, "
    "Tensor(b!) grad, Tensor? grad_low, Tensor? a, bool keep)",
    _gated_backward_,
    _backward_by_triton,
)
