"""A gated activation on packed gate and up, and its gradients written over them (arXiv 2002.05202).

out = act(gate) · up        of packed [n, 2i] = [gate, up]
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


def _gated(packed: Tensor, activation: str, out: Tensor) -> None:
    gate, up = wide(packed).chunk(2, 1)
    out.copy_(_activation(gate, activation) * up)


def _gated_backward_(packed: Tensor, activation: str, grad: Tensor, keep: bool) -> None:
    gate, up = wide(packed).clone().chunk(2, 1)
    incoming, activated = wide(grad), _activation(gate, activation)
    packed.copy_(torch.cat([incoming * up * _slope(gate, activation), incoming * activated], 1))
    if keep:
        grad.copy_(activated * up)


#: Write the module's formula to `out` [n, i].
gated = define("gated(Tensor packed, str activation, Tensor(a!) out)", _gated, "gated.forward")
#: Write the gradients of gate and up over `packed` [n, 2i], for that of `out`, `grad` [n, i]. With `keep`,
#: `out` itself is written over `grad`.
gated_backward_ = define(
    "gated_backward_(Tensor(a!) packed, str activation, Tensor(b!) grad, bool keep)",
    _gated_backward_,
    "gated.backward_",
)
