"""A stand-in for bitsandbytes' `Linear8bitLt`, on shapes: it makes the same tensors in the same order.

Read in bitsandbytes 0.50.2: `nn/modules.py`, `autograd/_functions.py` and `backends/cuda/ops.py`. Activations
above the threshold (outliers) go another way there; on shapes there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.quantized.operations import linear_8bit
from lorafa_prof.layers.quantized.state import keep_bias_in

#: The threshold of outliers that transformers sets (`llm_int8_threshold`).
THRESHOLD = 6.0


@dataclass
class State:
    """The weight and the scale of each of its rows, by the names of bitsandbytes' `MatmulLtState`."""

    CB: Tensor
    SCB: Tensor


def input_gradient_8bit(grad: Tensor, state: Any, dtype: torch.dtype) -> Tensor:
    """Return grad W for grad [..., out] and x of `dtype` (`MatMul8bitLt.backward`), numbers or shapes."""
    weight = state.CB.to(dtype, copy=True).mul_(state.SCB.unsqueeze(1).mul(1.0 / 127.0))
    return torch.matmul(grad.to(dtype), weight)


class StandInLinear8bit(nn.Linear):
    """A frozen linear layer whose weight has 8 bits.

    Args:
        weight: the dense weight, [out, in].
        bias: or None.
    """

    def __init__(self, weight: Tensor, bias: nn.Parameter | None) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        # `Int8Params._quantize`: of a 16-bit copy.
        half = weight.to(torch.float16)
        scale = half.new_empty(len(half), dtype=torch.float32)
        self.state = State(torch.empty_like(half, dtype=torch.int8), scale)
        self.weight = nn.Parameter(self.state.CB, requires_grad=False)
        self.register_parameter("bias", bias)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ (+ bias) for x [..., in]; nothing is kept for backward."""
        y: Tensor = linear_8bit(x, self.state.CB, self.state.SCB, bias)
        return y

    def input_gradient(self, grad: Tensor) -> Tensor:
        """Return grad W for grad [..., out]."""
        return input_gradient_8bit(grad, self.state, grad.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [..., in] to [..., out]."""
        keep_bias_in(x.dtype, self)
        return cast(Tensor, _MatMul8bit.apply(x, self))  # type: ignore[no-untyped-call]


class _MatMul8bit(torch.autograd.Function):
    """`MatMul8bitLt`: it keeps x, without a use for it where the weight is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: StandInLinear8bit) -> Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        # Not by `save_for_backward`: bitsandbytes holds it past autograd's sight, and past its freeing.
        ctx.x = x if ctx.needs_input_grad[0] else None
        return layer.product(x, layer.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return input_gradient_8bit(grad, ctx.layer.state, ctx.dtype), None
