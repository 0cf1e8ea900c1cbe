"""A and B of a low-rank adapter, as they are when training begins."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def new_factors(
    like: Tensor,
    rank: int,
    in_features: int,
    out_features: int,
    dtype: torch.dtype,
    *,
    of: tuple[int, ...] = (),
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return A [*of, r, in] and B [*of, out, r] on the device of `like`.

    A is drawn as in PEFT (Kaiming-uniform with a = √5, the default of nn.Linear), B is zero, so that a layer
    starts as its base.
    """
    a = nn.Parameter(like.new_empty(*of, rank, in_features, dtype=dtype))
    b = nn.Parameter(like.new_zeros(*of, out_features, rank, dtype=dtype))
    nn.init.kaiming_uniform_(a.flatten(0, -2) if of else a, a=math.sqrt(5))
    return a, b
