"""Products of a packed gradient with the adapters' narrow matrices, of all parts of it from one launch.

For parts p with columns of dy [n, M], low_p and B_p with r columns each:

    of x's side    s · dy_p B_p      to columns p·r … (p + 1)·r of a matrix [n, P·r]
    of B's         dy_pᵀ low_p       to part p's rows of one [M, r]

A library's product of each part reads as much and takes up to a fifth longer (reports/h200-step): these
matrices are too narrow for its tiles, and the launches of small ones follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lorafa_prof.layers.operations import define, wide

#: The largest rank that the kernels are made for: wider, a library's products are not narrow.
LARGEST_RANK = 128
#: How many parts a launch takes: those of queries, keys and values.
MOST_PARTS = 3


def columns_of(ends: Sequence[int]) -> list[slice]:
    """Return the columns of each part, for where each one ends."""
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _low_gradients(
    grad: Tensor, b: Tensor, ends: Sequence[int], rank: int, step: int, scale: float, out: Tensor
) -> None:
    for number, columns in enumerate(columns_of(ends)):
        of_part = wide(b)[columns, number * step : number * step + rank]
        out[:, number * rank : (number + 1) * rank] = scale * (wide(grad)[:, columns] @ of_part)


def _b_gradients(grad: Tensor, low: Tensor, ends: Sequence[int], rank: int, out: Tensor) -> None:
    for number, columns in enumerate(columns_of(ends)):
        out[columns] = wide(grad)[:, columns].t() @ wide(low)[:, number * rank : (number + 1) * rank]


#: Write `scale` times grad [n, M] B, part by part, to `out` [n, P·rank]. Part p's columns of grad end at
#: `ends[p]`; its B is in those rows of `b` [M, .] and in `rank` columns of it, from p · `step` on.
low_gradients = define(
    "low_gradients(Tensor grad, Tensor b, int[] ends, int rank, int step, float scale, Tensor(a!) out)",
    _low_gradients,
    "part_products.low_gradients",
)
#: Write gradᵀ low, part by part, to `out` [M, rank], for grad [n, M] and low [n, P·rank].
b_gradients = define(
    "b_gradients(Tensor grad, Tensor low, int[] ends, int rank, Tensor(a!) out)",
    _b_gradients,
    "part_products.b_gradients",
)
