"""A low-rank product added to a residual: out = residual + s · low Bᵀ, for low [n, r], B [m, r]."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lorafa_prof.layers.packed.operations import define, wide


def _add_low_rank(residual: Tensor, low: Tensor, b: Tensor, scale: float, out: Tensor) -> None:
    out.copy_(wide(residual) + scale * (wide(low) @ wide(b).t()))


def _by_triton(*args: Any) -> None:
    from lorafa_prof.layers.triton_kernels import low_rank as kernels

    kernels.add(*args)


#: Write the module's formula to `out` [n, m], which may be `residual` [n, m].
add_low_rank = define(
    "add_low_rank(Tensor residual, Tensor low, Tensor b, float scale, Tensor(a!) out)",
    _add_low_rank,
    _by_triton,
)
