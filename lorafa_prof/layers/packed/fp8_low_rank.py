"""A product of 8-bit floats and what adapters add to it, written once.

    out = s_l · (left rightᵀ) · s_r + bias + residual + low_p factor_pᵀ      for the columns of part p

PyTorch's product of 8 bits takes nothing along but a bias: what an adapter adds would be read, added to and
written again, and is as large as y. Here it is added while the numbers are still in registers.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lorafa_prof.layers.operations import define, wide
from lorafa_prof.layers.packed.part_products import columns_of


def _fp8_low_rank(
    left: Tensor,
    by_row: Tensor,
    right: Tensor,
    by_column: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    low: Tensor,
    factor: Tensor,
    ends: Sequence[int],
    out: Tensor,
) -> None:
    total = (wide(left) @ right.to(wide(left).dtype).t()) * by_row.unsqueeze(1)
    if by_column is not None:
        total = total * by_column
    for addend in (bias, residual):
        if addend is not None:
            total = total + wide(addend)
    rank = low.shape[1] // len(ends)
    for number, columns in enumerate(columns_of(ends)):
        of_part = wide(low)[:, number * rank : (number + 1) * rank]
        total[:, columns] += of_part @ wide(factor)[columns].t()
    out.copy_(total)


#: Write the module's formula to `out` [n, m], which may be `residual` [n, m], for left [n, k], right [m, k]
#: in 8 bits, the scales of their rows [n] and [m] (1 without `by_column`), bias [m], and for each part,
#: whose columns of out end at `ends[p]`, r columns of low [n, P·r] and its rows of factor [m, r].
fp8_low_rank = define(
    "fp8_low_rank(Tensor left, Tensor by_row, Tensor right, Tensor? by_column, Tensor? bias, "
    "Tensor? residual, Tensor low, Tensor factor, int[] ends, Tensor(a!) out)",
    _fp8_low_rank,
    "fp8_low_rank.fp8_low_rank",
)
