"""A gated activation on packed gate and up, and its gradients written over them (arXiv 2002.05202).

out = act(gate) · up        of packed [n, 2i] = [gate, up]

What adapters add to gate and up, or to the gradient of `out`, can be added here, where the numbers pass
through registers anyway, instead of in passes of their own.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafa_prof.layers.operations import define, wide

#: Names in transformers of the activations that are known here.
ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu"}


def _activation(gate: Tensor, activation: str) -> Tensor:
    return F.silu(gate) if activation == "silu" else F.gelu(gate, approximate="tanh")


def _slope(gate: Tensor, activation: str) -> Tensor:
    """Return the activation's derivative; autograd does not see into an operation."""
    if activation == "silu":
        sigmoid = torch.sigmoid(gate)
        return sigmoid * (1 + gate * (1 - sigmoid))
    factor = math.sqrt(2 / math.pi)
    tanh = torch.tanh(factor * (gate + 0.044715 * gate.pow(3)))
    return 0.5 * (1 + tanh) + 0.5 * gate * (1 - tanh * tanh) * factor * (1 + 3 * 0.044715 * gate.pow(2))


def _gated(packed: Tensor, low: Tensor | None, b: Tensor | None, activation: str, out: Tensor) -> None:
    gate, up = _gate_and_up(packed, low, b)
    out.copy_(_activation(gate, activation) * up)


def _gated_backward_(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    activation: str,
    grad: Tensor,
    grad_low: Tensor | None,
    a: Tensor | None,
    keep: bool,
) -> None:
    gate, up = _gate_and_up(packed, low, b)
    incoming, activated = wide(grad), _activation(gate, activation)
    if grad_low is not None and a is not None:
        incoming = incoming + wide(grad_low) @ wide(a)
    packed.copy_(torch.cat([incoming * up * _slope(gate, activation), incoming * activated], 1))
    if keep:
        grad.copy_(activated * up)


def _gate_and_up(packed: Tensor, low: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return gate and up [n, i], which share no memory with packed."""
    gate, up = wide(packed).clone().chunk(2, 1)
    if low is not None and b is not None:
        rank, of_half = b.shape[1], len(b) // 2
        of_gate, of_up = (
            wide(low)[:, :rank] @ wide(b)[:of_half].t(),
            wide(low)[:, -rank:] @ wide(b)[of_half:].t(),
        )
        return gate + of_gate, up + of_up
    return gate, up


#: Write the module's formula to `out` [n, i]. To gate and up, low times b [2i, r] transposed is added first,
#: if they are given: of low [n, 2r] half by half, of low [n, r], that of one layer, all to both.
gated = define(
    "gated(Tensor packed, Tensor? low, Tensor? b, str activation, Tensor(a!) out)", _gated, "gated.forward"
)
#: Write the gradients of gate and up over `packed` [n, 2i], for that of `out`, `grad` [n, i], and grad_low
#: [n, r] times a [r, i] if they are given. With `keep`, `out` itself is written over `grad`.
gated_backward_ = define(
    "gated_backward_(Tensor(a!) packed, Tensor? low, Tensor? b, str activation, Tensor(b!) grad, "
    "Tensor? grad_low, Tensor? a, bool keep)",
    _gated_backward_,
    "gated.backward_",
)
