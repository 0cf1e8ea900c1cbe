"""Rotary embedding in place on packed queries and keys, and its gradient, written back packed.

A row of `packed` has queries, keys and values of d numbers each, by heads. Of every query and key, halves x1
and x2 become x1 · cos − x2 · sin and x2 · cos + x1 · sin (arXiv 2104.09864, as in Llama).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.layers.operations import define, wide


def turned(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return heads [n, heads, d] turned by the angles of cos and sin [.., d], whose rows repeat."""
    half = heads.shape[-1] // 2
    cos, sin = (
        wide(x.flatten(0, -2)[:, :half]).repeat(len(heads) // x.flatten(0, -2).shape[0], 1).unsqueeze(1)
        for x in (cos, sin)
    )
    lower, upper = heads[..., :half], heads[..., half:]
    return torch.cat([lower * cos - upper * sin, upper * cos + lower * sin], -1)


def _rotate_(packed: Tensor, cos: Tensor, sin: Tensor, heads: int) -> None:
    width = cos.shape[-1]
    place = packed[:, : heads * width]
    place.copy_(turned(wide(place).reshape(len(place), heads, width), cos, sin).flatten(1))


def _pack_unrotated(
    grad_q: Tensor, grad_k: Tensor, grad_v: Tensor, cos: Tensor, sin: Tensor, packed: Tensor
) -> None:
    width = cos.shape[-1]
    by_rows = [wide(x).transpose(1, 2).reshape(len(packed), -1, width) for x in (grad_q, grad_k, grad_v)]
    back = [turned(x, cos, -sin) for x in by_rows[:2]]
    packed.copy_(torch.cat([*back, by_rows[2]], 1).flatten(1))


#: Turn the first `heads` heads of packed [n, heads·d or more], in place. cos and sin are [.., s, d]; row i
#: takes theirs of i modulo their number.
rotate_ = define("rotate_(Tensor(a!) packed, Tensor cos, Tensor sin, int heads)", _rotate_, "rotary.rotate_")
#: Write the gradients of q, k, v [b, heads, s, d], turned back, to `packed` [b·s, (q_heads + 2·kv_heads)·d].
pack_unrotated = define(
    "pack_unrotated(Tensor grad_q, Tensor grad_k, Tensor grad_v, Tensor cos, Tensor sin, Tensor(a!) packed)",
    _pack_unrotated,
    "rotary.pack_unrotated",
)
