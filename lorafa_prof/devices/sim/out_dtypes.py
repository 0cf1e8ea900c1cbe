"""Matrix products whose result has another type than their factors, as `torch.addmm(..., out_dtype=)` has it.

On `meta` PyTorch has no shapes for some of them, or takes the type for a number (torch 2.11: bmm, addmm and
baddbmm; 2.13: baddbmm), so those are made here. TRL's loss of chunks uses them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


def overloads_with_out_dtype(*products: str) -> tuple[Any, ...]:
    """Return the overloads of these operations that take the result's type; PyTorch before 2.8 has none."""
    return tuple(
        getattr(packet, overload)
        for packet in (getattr(_aten, product) for product in products)
        for overload in ("dtype", "dtype_out")
        if overload in packet.overloads()
    )


OUT_DTYPE_PRODUCTS = frozenset(overloads_with_out_dtype("mm", "bmm", "addmm", "baddbmm"))


def product_of_shapes(*args: Any, out: Tensor | None = None, **_factors: Any) -> Tensor:
    """Return a result's shape and type on `meta`; the arguments are those of any of `OUT_DTYPE_PRODUCTS`."""
    left, right, dtype = args[-3:]
    if out is not None:
        return out
    return torch.empty((*left.shape[:-1], right.shape[-1]), dtype=dtype, device=left.device)
