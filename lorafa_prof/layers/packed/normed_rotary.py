"""Queries and keys normed head by head before they are turned, as in Qwen3, and the gradients of both.

Of every query and key x of d numbers, with one weight [d] for all queries and one for all keys:

    y = turned(weight · x · r)        with r = 1 / √(mean(x²) + ε), and `turned` as in `rotary.py`
"""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.layers.operations import define, wide
from lorafa_prof.layers.packed.rotary import turned


def _rstd(heads: Tensor, epsilon: float) -> Tensor:
    return torch.rsqrt(heads.pow(2).mean(-1, keepdim=True) + epsilon)


def _norm_and_rotate(
    packed: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    q_heads: int,
    epsilon: float,
    out: Tensor,
) -> None:
    x = wide(packed[:, : out.shape[1]]).reshape(len(out), -1, cos.shape[-1])
    normed = wide((x * _rstd(x, epsilon)).to(out.dtype))
    scaled = torch.cat([normed[:, :q_heads] * wide(q_weight), normed[:, q_heads:] * wide(k_weight)], 1)
    out.copy_(turned(scaled, cos, sin).flatten(1))


def _pack_unnormed_(
    packed: Tensor,
    grad_q: Tensor,
    grad_k: Tensor,
    grad_v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    epsilon: float,
) -> None:
    width, rows = cos.shape[-1], len(packed)
    q, k, v = (wide(x).transpose(1, 2).reshape(rows, -1, width) for x in (grad_q, grad_k, grad_v))
    g = torch.cat([turned(q, cos, -sin) * wide(q_weight), turned(k, cos, -sin) * wide(k_weight)], 1)
    x = wide(packed[:, : g.shape[1] * width]).reshape(g.shape)
    r = _rstd(x, epsilon)
    along = (g * x).mean(-1, keepdim=True) * r * r
    packed.copy_(torch.cat([r * (g - x * along), v], 1).flatten(1))


#: Write all queries and keys of packed [n, ..], normed and turned, to `out` [n, heads·d].
norm_and_rotate = define(
    "norm_and_rotate(Tensor packed, Tensor q_weight, Tensor k_weight, Tensor cos, Tensor sin, int q_heads, "
    "float epsilon, Tensor(a!) out)",
    _norm_and_rotate,
    "normed_rotary.norm_and_rotate",
)
#: Write the gradients of what was packed over it [n, (q_heads + 2·kv_heads)·d], for those of q, k, v
#: [b, heads, s, d].
pack_unnormed_ = define(
    "pack_unnormed_(Tensor(a!) packed, Tensor grad_q, Tensor grad_k, Tensor grad_v, Tensor q_weight, "
    "Tensor k_weight, Tensor cos, Tensor sin, float epsilon)",
    _pack_unnormed_,
    "normed_rotary.pack_unnormed_",
)


def head_norm_gradients(
    packed: Tensor, grad_q: Tensor, grad_k: Tensor, cos: Tensor, sin: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both weights [d], before `pack_unnormed_` writes over `packed`."""
    width, rows = cos.shape[-1], len(packed)
    q, k = (x.transpose(1, 2).reshape(rows, -1, width) for x in (grad_q, grad_k))
    x = packed[:, : (q.shape[1] + k.shape[1]) * width].reshape(rows, -1, width)
    normed = wide(x) * _rstd(wide(x), epsilon)
    of_q, of_k = normed.split([q.shape[1], k.shape[1]], 1)
    gradients = [
        (turned(wide(grad), cos, -sin) * of).sum((0, 1)).to(packed.dtype)
        for grad, of in ((q, of_q), (k, of_k))
    ]
    return gradients[0], gradients[1]
