"""The functions of flash-attention 3 that transformers calls: what autograd keeps, and in which order.

Read in `hopper/flash_attn_interface.py` of flash-attn 2.8.3's source. Names of parameters are the package's,
since transformers asks for them: there is no dropout. So are those of autograd's functions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.layers.flash_attention.checks import check_query
from lorafa_prof.layers.flash_attention.operations import backward_3, forward_3

Window = tuple[int, int]


class FlashAttnFunc(torch.autograd.Function):
    """Attention of q [b, q, h, d] to k, v [b, k, g, d]."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        causal: bool,
        window_size: Window,
        softcap: float,
        deterministic: bool,
    ) -> Tensor:
        """Return the attention's result, of q's shape."""
        out: Tensor
        out, softmax_lse = forward_3(q, k, v, causal=causal, window_size=window_size)
        ctx.save_for_backward(q, k, v, out, softmax_lse)
        ctx.options = (causal, window_size, softcap, deterministic)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> Any:  # type: ignore[override]
        """Return the gradients of q, k and v."""
        q, k, v, out, softmax_lse = ctx.saved_tensors
        gradients = [torch.empty_like(x) for x in (q, k, v)]
        backward_3(dout, q, k, v, out, softmax_lse, *gradients, *[None] * 4, *ctx.options)
        return (*gradients, *[None] * 4)


class FlashAttnVarlenFunc(torch.autograd.Function):
    """Attention within sequences of different lengths, of q [Σq, h, d] to k, v [Σk, g, d]."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        cu_seqlens_q: Tensor,
        cu_seqlens_k: Tensor,
        max_seqlens: tuple[Any, Any],
        causal: bool,
        window_size: Window,
        softcap: float,
        deterministic: bool,
    ) -> Tensor:
        """Return the attention's result, of q's shape."""
        out: Tensor
        lengths = (cu_seqlens_q, cu_seqlens_k, *max_seqlens)
        out, softmax_lse = forward_3(q, k, v, *lengths, causal, window_size)
        ctx.save_for_backward(q, k, v, out, softmax_lse, cu_seqlens_q, cu_seqlens_k)
        # As they came: from position ids they are tensors on the device, which live on in here.
        ctx.max_seqlens = max_seqlens
        ctx.options = (causal, window_size, softcap, deterministic)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> Any:  # type: ignore[override]
        """Return the gradients of q, k and v."""
        q, k, v, out, softmax_lse, cu_seqlens_q, cu_seqlens_k = ctx.saved_tensors
        gradients = [torch.empty_like(x) for x in (q, k, v)]
        lengths = (cu_seqlens_q, cu_seqlens_k, *ctx.max_seqlens)
        backward_3(dout, q, k, v, out, softmax_lse, *gradients, *lengths, *ctx.options)
        return (*gradients, *[None] * 7)


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: Window = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """Return attention of q [b, q, h, d] to k, v [b, k, g, d].

    Raises:
        UsageError: the kernels do not take q's type or width.
    """
    check_query(q, "flash_attention_3")
    result: Tensor = FlashAttnFunc.apply(q, k, v, causal, window_size, softcap, deterministic)
    return result


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int | Tensor,
    max_seqlen_k: int | Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: Window = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """Return attention within sequences, of q [Σq, h, d] to k, v [Σk, g, d].

    Raises:
        UsageError: the kernels do not take q's type or width.
    """
    check_query(q, "flash_attention_3")
    longest = (max_seqlen_q, max_seqlen_k)
    result: Tensor = FlashAttnVarlenFunc.apply(
        q, k, v, cu_seqlens_q, cu_seqlens_k, longest, causal, window_size, softcap, deterministic
    )
    return result
