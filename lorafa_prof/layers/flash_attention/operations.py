"""Flash-attention's kernels as operations, on shapes alone: they have FLOPs, and memory on the twin.

On a GPU they are those of the packages `flash_attn` and `flash_attn_interface`, from whose functions these
differ only in leaving out what changes no memory. What they allocate inside is in
`lorafa_prof/devices/sim/kernels/attention_packages.py`.

Shapes are q [b, q, h, d], k and v [b, k, g, d]; of variable length, with `cu_seqlens` [b + 1], q [Σq, h, d],
k and v [Σk, g, d].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LENGTHS = (
    "Tensor? cu_seqlens_q=None, Tensor? cu_seqlens_k=None, int? max_seqlen_q=None, int? max_seqlen_k=None"
)
_GRADIENTS = "Tensor(a!) dq, Tensor(b!) dk, Tensor(c!) dv"
_LIBRARY = torch.library.Library("lorafa_prof", "FRAGMENT")
_LIBRARY.define(
    f"flash_attention_2_forward(Tensor q, Tensor k, Tensor v, {_LENGTHS}, float dropout_p=0.0) "
    "-> (Tensor out, Tensor softmax_lse, Tensor rng_state)"
)
_LIBRARY.define(
    "flash_attention_2_backward(Tensor dout, Tensor q, Tensor k, Tensor v, Tensor out, Tensor softmax_lse, "
    f"{_GRADIENTS}, {_LENGTHS}, bool deterministic=False) -> ()"
)
_LIBRARY.define(
    f"flash_attention_3_forward(Tensor q, Tensor k, Tensor v, {_LENGTHS}, bool causal=False, "
    "int[2] window_size=[-1, -1]) -> (Tensor out, Tensor softmax_lse)"
)
_LIBRARY.define(
    "flash_attention_3_backward(Tensor dout, Tensor q, Tensor k, Tensor v, Tensor out, Tensor softmax_lse, "
    f"{_GRADIENTS}, {_LENGTHS}, bool causal=False, int[2] window_size=[-1, -1], float softcap=0.0, "
    "bool deterministic=False) -> ()"
)


def lse_shape(q: Tensor) -> tuple[int, ...]:
    """Return the shape of the log-sum-exp of a query's scores: [b, h, q], or [h, Σq] of variable length."""
    *rows, heads, _ = q.shape
    return (rows[0], heads, rows[1]) if len(rows) == 2 else (heads, rows[0])


def _forward_2(q: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    lse = torch.empty(lse_shape(q), dtype=torch.float32, device="meta")
    return torch.empty_like(q, device="meta"), lse, torch.empty(2, dtype=torch.int64, device="meta")


def _forward_3(q: Tensor, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    out = torch.empty(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device="meta")
    return out, torch.empty(lse_shape(q), dtype=torch.float32, device="meta")


def _backward(*args: Any, **kwargs: Any) -> None:
    pass


_LIBRARY.impl("flash_attention_2_forward", _forward_2, "Meta")
_LIBRARY.impl("flash_attention_3_forward", _forward_3, "Meta")
_LIBRARY.impl("flash_attention_2_backward", _backward, "Meta")
_LIBRARY.impl("flash_attention_3_backward", _backward, "Meta")

forward_2: Any = torch.ops.lorafa_prof.flash_attention_2_forward
backward_2: Any = torch.ops.lorafa_prof.flash_attention_2_backward
forward_3: Any = torch.ops.lorafa_prof.flash_attention_3_forward
backward_3: Any = torch.ops.lorafa_prof.flash_attention_3_backward
