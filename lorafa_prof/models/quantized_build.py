"""Building a network whose linear layers are quantized, one after another, so that only one is ever dense."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lorafa_prof.layers.low_rank_linear import in_by_out, is_conv1d
from lorafa_prof.layers.quantized import by_bitsandbytes
from lorafa_prof.layers.quantized.eight_bit import StandInLinear8bit
from lorafa_prof.layers.quantized.four_bit import NestedCode, StandInLinear4bit
from lorafa_prof.layers.quantized.fp8 import Fp8Linear
from lorafa_prof.models.quantization import (
    EIGHT_BIT,
    EIGHT_BIT_FLOAT,
    FOUR_BIT,
    Quantization,
    is_left_alone,
    layers_left_alone,
)
from lorafa_prof.shapes_only import has_values

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: From a dense weight [out, in] and a bias to the quantized layer.
MakeLayer = Callable[[Tensor, nn.Parameter | None], nn.Module]


@contextmanager
def linears_left_empty() -> Iterator[None]:
    """A context in which linear layers get a weight without elements; `fill_linears` gives them theirs."""
    linear: Any = nn.Linear.__init__
    conv1d: Any = Conv1D.__init__

    def empty_linear(self: Any, in_features: int, out_features: int, *args: Any, **kwargs: Any) -> None:
        linear(self, 0 if _is_plain(self) else in_features, out_features, *args, **kwargs)
        self.in_features = in_features

    def empty_conv1d(self: Any, nf: int, nx: int) -> None:
        conv1d(self, nf, 0)
        self.nx = nx

    try:
        nn.Linear.__init__ = empty_linear  # type: ignore[method-assign]
        Conv1D.__init__ = empty_conv1d  # type: ignore[method-assign]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            yield
    finally:
        nn.Linear.__init__ = linear  # type: ignore[method-assign]
        Conv1D.__init__ = conv1d  # type: ignore[method-assign]


def fill_linears(model: PreTrainedModel, quantization: Quantization, dtype: torch.dtype) -> None:
    """Draw the weights of linear layers in `dtype` and quantize them, but for layers left alone."""
    left_alone = layers_left_alone(model, quantization.left_alone)
    device = next(parameter for parameter in model.parameters() if parameter.numel()).device
    make = _maker(quantization, on_shapes=not has_values(device))
    for name, module in list(model.named_modules()):
        if not _is_plain(module) or cast(Tensor, module.weight).numel():
            continue
        _draw(model, module, device, dtype)
        if not is_left_alone(name, left_alone):
            model.set_submodule(name, _quantized(module, make))
    note_quantized(model, quantization)


def quantize_as(model: nn.Module, like: nn.Module, quantization: Quantization) -> None:
    """Quantize those dense linear layers of `model` that are quantized in `like`, from the weights they have.

    The models differ in nothing else.
    """
    make = _maker(quantization, on_shapes=False)
    dense = {name: module for name, module in model.named_modules() if _is_plain(module)}
    for name, module in like.named_modules():
        if name in dense and not _is_plain(module):
            model.set_submodule(name, _quantized(dense.pop(name), make))


def note_quantized(model: PreTrainedModel, quantization: Quantization) -> None:
    """Say on the model what it is, where PEFT looks for it."""
    noted: Any = model
    noted.is_loaded_in_4bit = quantization.kind in FOUR_BIT
    noted.is_loaded_in_8bit = quantization.kind == EIGHT_BIT


def _is_plain(module: nn.Module) -> bool:
    return type(module) is nn.Linear or is_conv1d(module)


def _draw(model: PreTrainedModel, module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Give a layer a dense weight, drawn as the model draws it."""
    shape = in_by_out(module) if is_conv1d(module) else in_by_out(module)[::-1]
    module.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
    model._init_weights(module)


def _quantized(module: nn.Module, make: MakeLayer) -> nn.Module:
    """Return the layer quantized; the dense weight is let go with the last reference, `module`'s own."""
    weight = cast(nn.Parameter, module.weight)
    del module.weight
    # Conv1D keeps [in, out]; quantized layers take the other way round, and bitsandbytes copies it so.
    dense = weight.data.t().contiguous() if is_conv1d(module) else weight.data
    del weight
    layer = make(dense, cast(Any, module.bias))
    layer.requires_grad_(False)
    return layer


def _maker(quantization: Quantization, *, on_shapes: bool) -> MakeLayer:
    if quantization.kind == EIGHT_BIT_FLOAT:
        return Fp8Linear
    if quantization.kind == EIGHT_BIT:
        return StandInLinear8bit if on_shapes else by_bitsandbytes.linear_8bit
    if on_shapes:
        return partial(StandInLinear4bit, double_quant=quantization.double, nested_code=NestedCode())
    return partial(by_bitsandbytes.linear_4bit, kind=quantization.kind, double_quant=quantization.double)
