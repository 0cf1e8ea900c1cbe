"""Quantized layers with numbers in them: bitsandbytes' own modules, and their products without autograd."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.quantized.eight_bit import THRESHOLD, input_gradient_8bit

# While it is imported, by PEFT too, it warns on some CPUs that it found no faster kernel on a hub.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def require_bitsandbytes() -> Any:
    """Return the module `bitsandbytes`.

    Raises:
        UsageError: it is not installed, or cannot be loaded here.
    """
    try:
        import bitsandbytes
    except Exception as error:
        raise UsageError(_missing(str(error)), about="quantization") from error
    return bitsandbytes


def check_installed() -> None:
    """Raise UsageError if bitsandbytes is not installed; it is not loaded, which would look for a GPU."""
    if find_spec("bitsandbytes") is None:
        raise UsageError(_missing("it is not installed"), about="quantization")


def _missing(why: str) -> str:
    return (
        "a quantized base runs on bitsandbytes, which only the twin does without: "
        f"pip install 'lorafa-prof[gpu]' ({why})"
    )


def linear_4bit(weight: Tensor, bias: nn.Parameter | None, *, kind: str, double_quant: bool) -> nn.Module:
    """Return a frozen `Linear4bit` of the dense `weight`, computing in its type."""
    bnb = require_bitsandbytes()
    out_features, in_features = weight.shape
    layer: Any = bnb.nn.Linear4bit(
        in_features,
        out_features,
        bias=False,
        compute_dtype=weight.dtype,
        compress_statistics=double_quant,
        quant_type=kind,
        device="meta",
    )
    packed = bnb.nn.Params4bit(
        weight, requires_grad=False, compress_statistics=double_quant, quant_type=kind, module=layer
    )
    # `to` quantizes what is on the host and moved; here it is on its device already.
    layer.weight = packed._quantize(weight.device)
    layer.bias = bias
    quantized: nn.Module = layer
    return quantized


def linear_8bit(weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    """Return a frozen `Linear8bitLt` of the dense `weight`, with the threshold that transformers sets."""
    bnb = require_bitsandbytes()
    out_features, in_features = weight.shape
    layer: Any = bnb.nn.Linear8bitLt(
        in_features, out_features, bias=False, has_fp16_weights=False, threshold=THRESHOLD, device="meta"
    )
    layer.weight = bnb.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)._quantize(
        weight.device
    )
    layer.bias = bias
    quantized: nn.Module = layer
    return quantized


@dataclass(frozen=True)
class Product4bit:
    """The products of a `Linear4bit`, for autograd functions of our own."""

    layer: Any

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ (+ bias) for x [..., in]; nothing is kept for backward."""
        bnb, weight = require_bitsandbytes(), self.layer.weight
        y: Tensor = bnb.matmul_4bit(x, weight, quant_state=weight.quant_state, bias=bias)
        return y

    def input_gradient(self, grad: Tensor) -> Tensor:
        """Return grad W for grad [..., out], as `MatMul4Bit.backward` does."""
        weight = self.layer.weight
        dense = require_bitsandbytes().functional.dequantize_4bit(weight.data, weight.quant_state)
        return torch.matmul(grad, dense.to(grad.dtype))


@dataclass(frozen=True)
class Product8bit:
    """The products of a `Linear8bitLt`, for autograd functions of our own."""

    layer: Any

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x Wᵀ (+ bias) for x [..., in]; nothing is kept for backward, x neither."""
        if self.layer.weight.CB is not None:
            self.layer.init_8bit_state()
        self.layer.state.is_training = self.layer.training
        y: Tensor = require_bitsandbytes().matmul(x, self.layer.weight, bias=bias, state=self.layer.state)
        return y

    def input_gradient(self, grad: Tensor) -> Tensor:
        """Return grad W for grad [..., out], as `MatMul8bitLt.backward` does."""
        return input_gradient_8bit(grad, self.layer.state, grad.dtype)
