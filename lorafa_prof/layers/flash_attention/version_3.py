"""The functions of flash-attention 3 that transformers calls: what autograd keeps, and in which order.

Read in flash-attn 2.8.3, `hopper/flash_attn_interface.py`. Names of parameters are the package's, since
transformers asks for them: there is no dropout. So are those of autograd's functions, which reports show.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.layers.flash_attention.checks import NO_LENGTHS, Lengths, Window, check_query
from lorafa_prof.layers.flash_attention.operations import backward_3, forward_3


class FlashAttnFunc(torch.autograd.Function):
    """Attention of queries to keys and values, whose shapes `operations` has."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        lengths: Lengths,
        causal: bool,
        window_size: Window,
        softcap: float,
        deterministic: bool,
    ) -> Tensor:
        """Return the attention's result, of q's shape."""
        out: Tensor
        out, softmax_lse = forward_3(q, k, v, *lengths, causal, window_size)
        ctx.save_for_backward(q, k, v, out, softmax_lse, *lengths[:2])
        # As they came: from position ids they are tensors on the device, which live on in here.
        ctx.longest = lengths[2:]
        ctx.options = (causal, window_size, softcap, deterministic)
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of q, k and v."""
        q, k, v, out, softmax_lse, *totals = ctx.saved_tensors
        gradients = [torch.empty_like(x) for x in (q, k, v)]
        lengths = (*totals, *ctx.longest)
        backward_3(dout, q, k, v, out, softmax_lse, *gradients, *lengths, *ctx.options)
        return (*gradients, *[None] * 5)


class FlashAttnVarlenFunc(FlashAttnFunc):
    """The same within sequences of different lengths."""


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
    return _attend(FlashAttnFunc, q, k, v, NO_LENGTHS, causal, window_size, softcap, deterministic)


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
    lengths = (cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k)
    return _attend(FlashAttnVarlenFunc, q, k, v, lengths, causal, window_size, softcap, deterministic)


def _attend(function: Any, q: Tensor, k: Tensor, v: Tensor, *options: Any) -> Tensor:
    check_query(q, "flash_attention_3")
    result: Tensor = function.apply(q, k, v, *options)
    return result
