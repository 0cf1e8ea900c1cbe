"""The functions of the package `flash_attn` that transformers calls: what autograd keeps, and in which order.

Read in flash-attn 2.8.3, `flash_attn/flash_attn_interface.py` and `bert_padding.py`. Names of parameters are
the package's, since transformers asks for them; so are those of autograd's functions, which reports show.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafa_prof.layers.flash_attention.checks import NO_LENGTHS, WIDTH_STEP, Lengths, Window, check_query
from lorafa_prof.layers.flash_attention.operations import backward_2, forward_2


class FlashAttnFunc(torch.autograd.Function):
    """Attention of queries to keys and values, whose shapes `operations` has."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        lengths: Lengths,
        dropout_p: float,
        deterministic: bool,
        with_grad: bool,
    ) -> Tensor:
        """Return the attention's result, of q's shape."""
        width = q.shape[-1]
        q, k, v = (_padded(x) for x in (q, k, v))
        out, softmax_lse, rng_state = forward_2(q, k, v, *lengths, dropout_p)
        if with_grad:
            ctx.save_for_backward(q, k, v, out, softmax_lse, *lengths[:2], rng_state)
            # As they came: from position ids they are tensors on the device, which live on in here.
            ctx.longest = lengths[2:]
            ctx.deterministic = deterministic
        result: Tensor = out[..., :width]
        return result

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of q, k and v."""
        q, k, v, out, softmax_lse, *totals, _ = ctx.saved_tensors
        gradients = [torch.empty_like(x) for x in (q, k, v)]
        lengths = (*totals, *ctx.longest)
        backward_2(_padded(dout), q, k, v, out, softmax_lse, *gradients, *lengths, ctx.deterministic)
        return (*(x[..., : dout.shape[-1]] for x in gradients), *[None] * 4)


class FlashAttnVarlenFunc(FlashAttnFunc):
    """The same within sequences of different lengths."""


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
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
    return _attend(FlashAttnFunc, q, k, v, NO_LENGTHS, dropout_p, deterministic)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int | Tensor,
    max_seqlen_k: int | Tensor,
    dropout_p: float = 0.0,
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
    return _attend(FlashAttnVarlenFunc, q, k, v, lengths, dropout_p, deterministic)


def _attend(function: Any, q: Tensor, k: Tensor, v: Tensor, *options: Any) -> Tensor:
    check_query(q, "flash_attention_2")
    with_grad = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
    result: Tensor = function.apply(q, k, v, *options, with_grad)
    return result


class IndexPutFirstAxis(torch.autograd.Function):
    """Rows put where they belong among more, which are zeros."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor, rows: int) -> Tensor:
        """Return [rows, ...] with `values` at `indices`."""
        ctx.save_for_backward(indices)
        output = torch.zeros(rows, *values.shape[1:], device=values.device, dtype=values.dtype)
        output[indices] = values
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the values."""
        (indices,) = ctx.saved_tensors
        return grad[indices], None, None


def pad_input(hidden_states: Tensor, indices: Tensor, batch: int, seqlen: int) -> Tensor:
    """Return [batch, seqlen, ...] with the rows of `hidden_states` at `indices` of the flat batch."""
    padded: Tensor = IndexPutFirstAxis.apply(  # type: ignore[no-untyped-call]
        hidden_states, indices, batch * seqlen
    )
    return padded.view(batch, seqlen, *hidden_states.shape[1:])


def _padded(x: Tensor) -> Tensor:
    missing = -x.shape[-1] % WIDTH_STEP
    return F.pad(x, [0, missing]) if missing else x
