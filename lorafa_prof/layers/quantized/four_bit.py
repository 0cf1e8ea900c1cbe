"""A stand-in for bitsandbytes' `Linear4bit`, on shapes: it makes the same tensors in the same order.

Read in bitsandbytes 0.50.2: `nn/modules.py`, `functional.py` and `backends/cuda/ops.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lorafa_prof.layers.quantized.frozen_product import FrozenProduct
from lorafa_prof.layers.quantized.operations import gemm_4bit
from lorafa_prof.layers.quantized.state import keep_bias_in

#: Weights that share a maximum, and such maxima that share one of theirs with double quantization.
BLOCK = 64
NESTED_BLOCK = 256
_LEVELS = 16
_NESTED_LEVELS = 256


@dataclass
class NestedState:
    """The statistics of the statistics: bitsandbytes' `QuantState.state2`."""

    absmax: Tensor
    code: Tensor


@dataclass
class QuantState:
    """What a packed weight is unpacked with, by the names of bitsandbytes' `QuantState`.

    Attributes:
        shape: of the weight, [out, in].
        dtype: of the weight, before and after.
        absmax: the largest absolute value of each block; as 8-bit numbers with double quantization.
        code: the 16 levels.
        offset: the mean of the maxima, with double quantization.
        state2: the statistics of `absmax`, with double quantization.
    """

    shape: torch.Size
    dtype: torch.dtype
    absmax: Tensor
    code: Tensor
    offset: Tensor | None = None
    state2: NestedState | None = None


class NestedCode:
    """The 8-bit levels, which bitsandbytes puts on the GPU at the first use and keeps there."""

    def __init__(self) -> None:
        self._kept: Tensor | None = None

    def __call__(self, like: Tensor) -> Tensor:
        """Return the levels on the device of `like`."""
        if self._kept is None:
            self._kept = like.new_empty(_NESTED_LEVELS, dtype=torch.float32)
        return self._kept


class StandInLinear4bit(nn.Linear):
    """A frozen linear layer whose weight is packed, two numbers a byte.

    Args:
        weight: the dense weight, [out, in].
        bias: or None.
        double_quant: whether the maxima of blocks are quantized too.
        nested_code: shared by the layers of a model.
    """

    def __init__(
        self, weight: Tensor, bias: nn.Parameter | None, *, double_quant: bool, nested_code: NestedCode
    ) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.nested_code = nested_code
        self.compute_dtype = weight.dtype
        packed, state = _quantize(weight, nested_code if double_quant else None)
        self.weight = nn.Parameter(packed, requires_grad=False)
        cast(Any, self.weight).quant_state = state
        self.register_parameter("bias", bias)

    @property
    def quant_state(self) -> QuantState:
        """What the weight is unpacked with."""
        return cast(QuantState, cast(Any, self.weight).quant_state)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ (+ bias) for x [..., in]; nothing is kept for backward (`matmul_4bit`)."""
        state = self.quant_state
        y: Tensor = gemm_4bit(x, self.weight, state.shape, state.absmax, bias, state.offset)
        return y

    def input_gradient(self, grad: Tensor) -> Tensor:
        """Return grad W for grad [..., out] (`MatMul4Bit.backward`)."""
        return torch.matmul(grad, self._dequantized().to(grad.dtype))

    def _dequantized(self) -> Tensor:
        """Return the weight unpacked (functional.py: dequantize_4bit)."""
        state = self.quant_state
        if state.offset is not None:
            absmax = torch.empty_like(state.absmax, dtype=torch.float32)
            absmax += state.offset
        return self.weight.new_empty(state.shape, dtype=state.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [..., in] to [..., out], computing in the weight's type (`Linear4bit.forward`)."""
        cast_x = x.to(self.compute_dtype)
        keep_bias_in(cast_x.dtype, self)
        if torch.is_grad_enabled() and x.requires_grad:
            # As `MatMul4Bit` of bitsandbytes' autograd/_functions.py: it keeps the packed weight alone.
            y = cast(Tensor, FrozenProduct.apply(cast_x, self, self.bias))  # type: ignore[no-untyped-call]
        else:
            y = self.product(cast_x, self.bias)
        return y.to(x.dtype)


def _quantize(weight: Tensor, nested_code: NestedCode | None) -> tuple[Tensor, QuantState]:
    """Return the packed weight and its state (functional.py: quantize_4bit)."""
    blocks = -(-weight.numel() // BLOCK)
    # `new_empty` of a weight without values: of what `empty` makes the twin would keep values on the host.
    absmax = weight.new_empty(blocks, dtype=torch.float32)
    packed = weight.new_empty((weight.numel() + 1) // 2, 1, dtype=torch.uint8)
    code = weight.new_empty(_LEVELS, dtype=torch.float32)
    code.div_(code.abs().max())
    if nested_code is None:
        return packed, QuantState(weight.shape, weight.dtype, absmax, code)
    offset = absmax.mean()
    quantized, state2 = _quantize_maxima(absmax - offset, nested_code)
    return packed, QuantState(weight.shape, weight.dtype, quantized, code, offset, state2)


def _quantize_maxima(maxima: Tensor, nested_code: NestedCode) -> tuple[Tensor, NestedState]:
    """Return the maxima as 8-bit numbers, and their statistics (functional.py: quantize_blockwise)."""
    code = nested_code(maxima)
    absmax = maxima.new_empty(-(-maxima.numel() // NESTED_BLOCK))
    quantized = torch.empty_like(maxima, dtype=torch.uint8)
    return quantized, NestedState(absmax, code.clone())
