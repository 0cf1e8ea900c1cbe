"""The products of a quantized layer as operations, on shapes alone: they have FLOPs, and memory on the twin.

On a GPU these are bitsandbytes' `gemm_4bit` and `MatMul8bitLt`; what they allocate inside is in
`lorafa_prof/devices/sim/kernels/quantized.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("lorafa_prof", "DEF")
_LIBRARY.define(
    "gemm_4bit(Tensor x, Tensor packed, int[] shape, Tensor absmax, Tensor? bias=None, Tensor? offset=None) "
    "-> Tensor"
)
_LIBRARY.define("linear_8bit(Tensor x, Tensor weight, Tensor scale, Tensor? bias=None) -> Tensor")


def _gemm_4bit(
    x: Tensor,
    packed: Tensor,
    shape: Sequence[int],
    absmax: Tensor,
    bias: Tensor | None = None,
    offset: Tensor | None = None,
) -> Tensor:
    return torch.empty(*x.shape[:-1], shape[0], dtype=x.dtype, device="meta")


def _linear_8bit(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.empty(*x.shape[:-1], weight.shape[0], dtype=x.dtype, device="meta")


_LIBRARY.impl("gemm_4bit", _gemm_4bit, "Meta")
_LIBRARY.impl("linear_8bit", _linear_8bit, "Meta")

#: x [..., in] times a packed weight [out, in]: `offset` is there with double quantization, whose `absmax` is
#: of 8 bits.
gemm_4bit: Any = torch.ops.lorafa_prof.gemm_4bit
#: x [..., in], its rows quantized to 8 bits, times an 8-bit weight [out, in].
linear_8bit: Any = torch.ops.lorafa_prof.linear_8bit
