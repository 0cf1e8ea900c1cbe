"""The weight of a quantized layer as a thing that multiplies: all that an adapter beside it asks of it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from lorafa_prof.layers.quantized.by_bitsandbytes import Product4bit, Product8bit
from lorafa_prof.layers.quantized.eight_bit import StandInLinear8bit
from lorafa_prof.layers.quantized.four_bit import StandInLinear4bit
from lorafa_prof.layers.quantized.fp8 import Fp8Linear


class QuantizedWeight(Protocol):
    """A frozen weight that is unpacked, or multiplied packed, in forward and again in backward."""

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ (+ bias) for x [..., in], keeping nothing for backward."""

    def input_gradient(self, grad: Tensor) -> Tensor:
        """Return grad W for grad [..., out]."""


def quantized_weight(layer: nn.Module) -> QuantizedWeight:
    """Return the weight of a layer that is quantized: in 8-bit floats, bitsandbytes', or a stand-in of it."""
    if isinstance(layer, (Fp8Linear, StandInLinear4bit, StandInLinear8bit)):
        return layer
    return Product4bit(layer) if hasattr(layer.weight, "quant_state") else Product8bit(layer)
