"""A low-rank product added to a residual, and dropout that is drawn again, not kept.

    out = residual + addend + drop(low Bᵀ)        for low [n, r], B [m, r]

What is dropped follows from a seed and a number's place alone, so that the gradient of drop(x) is dropped
where x was, with no mask in memory: of x [n, m] and of low Bᵀ [n, m], with one seed, in the same places.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.layers.operations import define, wide


def _dropped(x: Tensor, seed: int, probability: float) -> Tensor:
    shares = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return x * (shares >= probability) / (1 - probability)


def _drop(x: Tensor, seed: int, probability: float, out: Tensor) -> None:
    out.copy_(_dropped(wide(x), seed, probability))


def _add_low_rank(
    residual: Tensor,
    addend: Tensor | None,
    low: Tensor,
    b: Tensor,
    seed: int,
    probability: float,
    out: Tensor,
) -> None:
    product = wide(low) @ wide(b).t()
    total = wide(residual) if addend is None else wide(residual) + addend
    out.copy_(total + (_dropped(product, seed, probability) if probability else product))


#: Write drop(x) [n, m] to `out`: 0 with this probability, x / (1 − probability) else.
drop = define("drop(Tensor x, int seed, float probability, Tensor(a!) out)", _drop, "low_rank.drop")
#: Write the module's formula to `out` [n, m], which may be `residual` or `addend` [n, m]; at probability 0
#: nothing is dropped.
add_low_rank = define(
    "add_low_rank(Tensor residual, Tensor? addend, Tensor low, Tensor b, int seed, float probability, "
    "Tensor(a!) out)",
    _add_low_rank,
    "low_rank.add",
)


def draw_seed() -> int:
    """Return a seed from PyTorch's generator of the host, which checkpointing sets back to run again."""
    return int(torch.randint(2**31 - 1, (), device="cpu"))
