"""Making tensors on meta in the memory layout that a CUDA kernel gives its result."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def empty_in_layout_of(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a dense tensor of `shape` whose dimensions lie in memory in the order of those of `like`."""
    order = sorted(range(like.dim()), key=lambda dim: (like.stride(dim), dim), reverse=True)
    if like.is_contiguous():
        order = list(range(like.dim()))
    inverse = [order.index(dim) for dim in range(like.dim())]
    dense = torch.empty([shape[dim] for dim in order], dtype=like.dtype, device="meta")
    return dense.permute(inverse)
