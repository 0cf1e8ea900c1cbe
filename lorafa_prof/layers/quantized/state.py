"""What a quantized layer holds beside its parameters, of bitsandbytes' layers and of the stand-ins alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_FOUR_BIT = ("absmax", "code", "offset")
_EIGHT_BIT = ("CB", "SCB")
_PACKED = (torch.uint8, torch.int8, torch.float8_e4m3fn)


def is_quantized(module: nn.Module) -> bool:
    """Return whether `module` is a linear layer whose weight has 4 or 8 bits."""
    return isinstance(module, nn.Linear) and module.weight.dtype in _PACKED


def has_quantized(model: nn.Module) -> bool:
    """Return whether a layer of `model` is quantized."""
    return any(is_quantized(module) for module in model.modules())


def statistics(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors of quantized layers that are neither parameters nor buffers."""
    for module in model.modules():
        if is_quantized(module):
            weight: Any = module.weight
            state = getattr(weight, "quant_state", None)
            yield from _tensors(state, _FOUR_BIT)
            yield from _tensors(getattr(state, "state2", None), _FOUR_BIT)
            yield from _tensors(weight, _EIGHT_BIT)
            yield from _tensors(getattr(module, "state", None), _EIGHT_BIT)


def number_of_weights(parameter: nn.Parameter) -> int:
    """Return how many numbers `parameter` stands for: of packed ones there are twice its elements."""
    state: Any = getattr(parameter, "quant_state", None)
    return int(state.shape.numel()) if state is not None else parameter.numel()


def keep_bias_in(dtype: torch.dtype, layer: nn.Linear) -> None:
    """Cast a layer's bias for good, as bitsandbytes' layers do where an input has another type."""
    if layer.bias is not None and layer.bias.dtype != dtype:
        layer.bias.data = layer.bias.data.to(dtype)


def _tensors(holder: Any, names: tuple[str, ...]) -> Iterator[Tensor]:
    for name in names:
        value = getattr(holder, name, None)
        if isinstance(value, Tensor):
            yield value
