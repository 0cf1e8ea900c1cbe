"""The low-rank linear layer in plain differentiable operations, and the layers to compare with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear

F64 = torch.float64
LAYERS = [LoraLinear, LoraFaLinear]
BASES = ["linear", "linear-no-bias", "conv1d"]


def make_base(kind: str, n_in: int, n_out: int, dtype: torch.dtype = F64) -> nn.Module:
    if kind == "conv1d":
        base: nn.Module = Conv1D(n_out, n_in)
        nn.init.normal_(base.bias)  # Conv1D starts with a bias of zero, which would hide a lost one
    else:
        base = nn.Linear(n_in, n_out, bias=kind == "linear")
    return base.to(dtype)


def make_layer(
    layer: Any,
    *,
    kind: str = "linear",
    shape: tuple[int, int] = (12, 10),
    rank: int = 3,
    scale: float = 0.7,
    dropout: float = 0.0,
    dtype: torch.dtype = F64,
    adapter_dtype: torch.dtype | None = None,
) -> Any:
    """A layer on a random base, with a B that is not zero, so that nothing about it is."""
    made = layer(
        make_base(kind, *shape, dtype),
        rank=rank,
        scale=scale,
        dropout=dropout,
        adapter_dtype=adapter_dtype or dtype,
    )
    nn.init.normal_(made.lora_B)
    return made


def reference(layer: Any, x: Tensor, a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """base(x) + s · (x · mask / (1 - p)) Aᵀ Bᵀ, by autograd's own operations."""
    dropped = x if mask is None else x * mask / (1 - layer.dropout)
    y: Tensor = layer.base(x) + layer.scale * (dropped @ a.t() @ b.t())
    return y


def mask_of_seed(seed: int, x: Tensor, probability: float) -> Tensor:
    """The mask that a layer draws for x [..., in] right after `torch.manual_seed(seed)`."""
    torch.manual_seed(seed)
    mask: Tensor = torch.native_dropout(x.detach().reshape(-1, x.shape[-1]), probability, True)[1]
    return mask.view(x.shape)
