"""What the layers hold for backward: LoRA its input, LoRA-FA the rank-wide projection of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from low_rank_reference import LAYERS, make_layer
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear

TOKENS, N_IN, N_OUT, RANK = 30, 64, 48, 4


def saved_activations(layer: Any, x: Tensor) -> list[Tensor]:
    """The tensors that autograd saves in a forward pass, parameters and their views left out."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in layer.parameters()}
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return [tensor for tensor in saved if tensor.untyped_storage().data_ptr() not in parameters]


def layer_and_input(layer_type: Any, kind: str, dropout: float, **options: Any) -> tuple[Any, Tensor]:
    settings = {"dtype": torch.float32, **options}
    layer = make_layer(layer_type, kind=kind, shape=(N_IN, N_OUT), rank=RANK, dropout=dropout, **settings)
    return layer, torch.randn(3, TOKENS // 3, N_IN, dtype=settings["dtype"])


def sizes(tensors: list[Tensor]) -> list[tuple[torch.dtype, int]]:
    """Type and number of bytes of the storages behind the tensors."""
    return sorted(((t.dtype, t.untyped_storage().nbytes()) for t in tensors), key=str)


bases = pytest.mark.parametrize("kind", ["linear", "conv1d"])
types = pytest.mark.parametrize(
    ("dtype", "adapter_dtype"),
    [(torch.float32, torch.float32), (torch.bfloat16, torch.bfloat16), (torch.bfloat16, torch.float32)],
    ids=["fp32", "bf16", "fp32-on-bf16"],
)


@bases
@types
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("x_trains", [True, False], ids=["x-grad", "x-no-grad"])
def test_lora_fa_saves_the_projection_and_a_one_byte_mask(
    kind: str, dropout: float, x_trains: bool, dtype: torch.dtype, adapter_dtype: torch.dtype
) -> None:
    layer, x = layer_and_input(LoraFaLinear, kind, dropout, dtype=dtype, adapter_dtype=adapter_dtype)
    expected = [(dtype, TOKENS * RANK * dtype.itemsize)]
    if dropout and x_trains:  # without a gradient for x nobody reads the mask
        expected.append((torch.bool, TOKENS * N_IN))
    assert sizes(saved_activations(layer, x.requires_grad_(x_trains))) == sorted(expected, key=str)


@bases
@types
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_lora_saves_its_input_itself_and_no_copy(
    kind: str, dropout: float, dtype: torch.dtype, adapter_dtype: torch.dtype
) -> None:
    layer, x = layer_and_input(LoraLinear, kind, dropout, dtype=dtype, adapter_dtype=adapter_dtype)
    saved = saved_activations(layer, x.requires_grad_())
    own = [t for t in saved if t.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()]
    assert len(own) == 1
    expected = [(dtype, TOKENS * RANK * dtype.itemsize)] + ([(torch.bool, TOKENS * N_IN)] if dropout else [])
    assert sizes([t for t in saved if t is not own[0]]) == sorted(expected, key=str)


@pytest.mark.parametrize("layer_type", LAYERS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_input_is_freed_in_lora_fa_and_held_in_lora(layer_type: Any, dropout: float) -> None:
    """By any road, not only by `save_for_backward`."""
    layer, leaf = layer_and_input(layer_type, "linear", dropout)
    x = leaf.requires_grad_() * 2  # saves nothing of x
    storage = StorageWeakRef(x.untyped_storage())
    y = layer(x)
    del x
    assert storage.expired() == (layer_type is LoraFaLinear)
    y.sum().backward()
    assert leaf.grad is not None
