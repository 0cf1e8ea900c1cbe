"""FLOPs of an operation by the shapes of its arguments. A multiply and an add are two.

PyTorch's own formulas (`torch/utils/flop_counter.py`), with attention's of our own, and those of operations
that it leaves out, and counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

_aten: Any = torch.ops.aten

Formula = Callable[..., int]


def formula_of(operation: Any) -> Formula | None:
    """Return the formula of an operation (an overload that PyTorch dispatches); None if there is none."""
    packet = operation._overloadpacket
    return FORMULAS.get(packet) or _BY_NAME.get(str(packet))


def attention_flops(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of attention: the scores, and their product with the values.

    Shapes are query [b, h, q, d], key [b, g, k, d], value [b, g, k, e]. With grouped heads (g < h) every
    query head still meets all keys. Older PyTorch's own formula wants g = h.
    """
    batch, heads, queries, width = query.shape
    return 2 * batch * heads * queries * key.shape[-2] * (width + value.shape[-1])


def attention_backward_flops(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> int:
    """Return the FLOPs of attention's backward: five products for forward's two.

    They are the scores once more, and the gradients of all four factors.
    """
    batch, heads, queries, width = query.shape
    return 2 * batch * heads * queries * key.shape[-2] * (3 * width + 2 * value.shape[-1])


def _flash_pairs(q: Tensor, k: Tensor, lengths_q: Tensor | None, lengths_k: Tensor | None) -> int:
    """Return how many pairs of a query and a key there are, of q [b, q, h, d] and k [b, k, g, d].

    Of variable length, with running totals of lengths, only pairs within a sequence count. They are read, so
    on a GPU the host waits for them.
    """
    if lengths_q is None or lengths_k is None:
        return q.shape[0] * q.shape[1] * k.shape[1]
    # Not by `.cpu()`, which is several operations: from within a dispatch mode the twin would see it as one.
    on_host = (_aten._to_copy(totals, device="cpu") for totals in (lengths_q, lengths_k))
    queries, keys = (pairwise(totals.tolist()) for totals in on_host)
    return sum((q1 - q0) * (k1 - k0) for (q0, q1), (k0, k1) in zip(queries, keys, strict=True))


def _flash_flops(forward: bool, totals: int | None) -> Formula:
    """Return the formula of an operation of flash-attention's packages.

    Args:
        forward: whether it is forward, whose first argument is q and not the gradient of the result.
        totals: at which argument the two running totals of lengths stand; None: there are none.
    """

    def flops(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        q, k, v = args[:3] if forward else args[1:4]
        lengths = (*args[totals : totals + 2], None, None)[:2] if totals is not None else (None, None)
        width, width_of_values = q.shape[-1], v.shape[-1]
        products: int = width + width_of_values if forward else 3 * width + 2 * width_of_values
        return 2 * _flash_pairs(q, k, *lengths) * int(q.shape[-2]) * products

    return flops


def flex_backward_flops(dout: Tensor, dlse: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of flex attention's backward, on all pairs of a query and a key, masked or not."""
    return attention_backward_flops(dout, *args, **kwargs)


def convolution_backward_flops(grad: Tensor, x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of a convolution's backward: as many as forward's for each gradient that is wanted.

    Shapes are grad [b, out, ...], x [b, in, ...] and weight [out, in / groups, ...]; of a transposed one,
    weight [in, out / groups, ...]. PyTorch's own formula takes no groups into account.
    """
    transposed: bool = args[4]
    wanted: Sequence[bool] = args[7]
    meets_weight = x if transposed else grad
    positions = meets_weight.shape[0] * math.prod(meets_weight.shape[2:])
    return 2 * positions * weight.numel() * sum(wanted[:2])


def gemm_4bit_flops(x: Tensor, packed: Tensor, shape: Sequence[int], *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of x [..., in] times a weight of `shape` [out, in], as if it was dense."""
    return 2 * x.numel() * shape[0]


def matmul_8bit_flops(x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of x [..., in] times an 8-bit weight [out, in], as if it was dense."""
    return 2 * x.numel() * weight.shape[0]


def added_low_rank_flops(
    residual: Tensor, addend: Tensor | None, low: Tensor, b: Tensor, *args: Any, **kwargs: Any
) -> int:
    """Return the FLOPs of low [n, r] times b [m, r] transposed."""
    return 2 * low.numel() * b.shape[0]


def gated_flops(packed: Tensor, low: Tensor | None, b: Tensor | None, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of low times b [2i, r] transposed, if it is to be added to packed [n, 2i]."""
    return 0 if b is None else 2 * packed.numel() * b.shape[1]


def gated_backward_flops(
    packed: Tensor,
    low: Tensor | None,
    b: Tensor | None,
    activation: str,
    grad: Tensor,
    *args: Any,
    **kwargs: Any,
) -> int:
    """Return the FLOPs of the same again, and of s · dy B [n, r] times a [r, i], if that is to be added."""
    a: Tensor | None = args[1]
    return gated_flops(packed, low, b) + (0 if a is None else 2 * grad.numel() * a.shape[0])


def low_gradients_flops(grad: Tensor, b: Tensor, ends: Any, rank: int, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of grad_p [n, m_p] times B_p [m_p, rank], over all parts."""
    return 2 * grad.numel() * rank


def b_gradients_flops(grad: Tensor, low: Tensor, ends: Any, rank: int, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of grad_p [n, m_p] transposed times low_p [n, rank], over all parts."""
    return 2 * grad.numel() * rank


def grouped_flops(a: Tensor, b: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of a grouped product, in which each token meets the matrix of its own group alone.

    Shapes are a [tokens, k] and b [groups, k, n], as in a mixture of experts' forward; [m, tokens] and
    [tokens, n] for the gradient of its weights; [groups, m, k] and [k, tokens]; or [groups, m, k] and
    [groups, k, n]. All tokens count as routed.
    """
    only_its_own = a.shape[0] if (a.dim(), b.dim()) == (3, 2) else 1
    return 2 * a.numel() * b.shape[-1] // only_its_own


def matrix_vector_flops(matrix: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of a matrix times a vector, or of a vector times another."""
    return 2 * matrix.numel()


def added_matrix_vector_flops(added: Tensor, matrix: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of a matrix times a vector that is added to another."""
    return 2 * matrix.numel()


def product_flops(a: Tensor, b: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of a [m, k] times b [k, n], whatever their type."""
    return 2 * a.numel() * b.shape[-1]


def added_product_flops(added: Tensor, a: Tensor, b: Tensor, *args: Any, **kwargs: Any) -> int:
    """Return the FLOPs of a [m, k] times b [k, n] that is added to a third.

    PyTorch's own formula cannot be called where the result's type is given.
    """
    return product_flops(a, b)


_ATTENTION = ("flash_attention", "efficient_attention", "cudnn_attention", "fused_attention_overrideable")

#: Of operations that every supported PyTorch has.
FORMULAS: dict[Any, Formula] = {
    **flop_registry,
    _aten.convolution_backward: convolution_backward_flops,
    _aten.addmm: added_product_flops,
    _aten.addmm_: added_product_flops,
    _aten._addmm_activation: added_product_flops,
    _aten.baddbmm_: flop_registry[_aten.baddbmm],
    _aten.addbmm: flop_registry[_aten.baddbmm],
    _aten.addbmm_: flop_registry[_aten.baddbmm],
    _aten._int_mm: product_flops,
    _aten.mv: matrix_vector_flops,
    _aten.dot: matrix_vector_flops,
    _aten.vdot: matrix_vector_flops,
    _aten.addmv: added_matrix_vector_flops,
    _aten.addmv_: added_matrix_vector_flops,
    **{getattr(_aten, f"_scaled_dot_product_{name}"): attention_flops for name in _ATTENTION},
    **{
        getattr(_aten, f"_scaled_dot_product_{name}_backward"): attention_backward_flops
        for name in _ATTENTION
    },
    _aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}

#: Products of 8-bit floats.
OF_8BIT_FLOATS = (_aten._scaled_mm,)

#: Of operations that need not be installed, or that an older PyTorch has not. Of bitsandbytes', as of any
#: other, only the operation that does the product; unpacking is none.
_BY_NAME: dict[str, Formula] = {
    "aten._grouped_mm": grouped_flops,
    "aten._scaled_grouped_mm": grouped_flops,
    "aten._scaled_grouped_mm_v2": grouped_flops,
    "aten._scaled_mm_v2": product_flops,
    "transformers.grouped_mm_fallback": grouped_flops,
    "lorafa_prof.gemm_4bit": gemm_4bit_flops,
    "lorafa_prof.linear_8bit": matmul_8bit_flops,
    "lorafa_prof.add_low_rank": added_low_rank_flops,
    "lorafa_prof.gated": gated_flops,
    "lorafa_prof.gated_backward_": gated_backward_flops,
    "lorafa_prof.low_gradients": low_gradients_flops,
    "lorafa_prof.b_gradients": b_gradients_flops,
    "lorafa_prof.flash_attention_2_forward": _flash_flops(True, 3),
    "lorafa_prof.flash_attention_2_backward": _flash_flops(False, 9),
    "lorafa_prof.flash_attention_3_forward": _flash_flops(True, 3),
    "lorafa_prof.flash_attention_3_backward": _flash_flops(False, 9),
    "lorafa_prof.flex_attention_forward": attention_flops,
    "lorafa_prof.flex_attention_backward": flex_backward_flops,
    "flash_attn._flash_attn_forward": _flash_flops(True, None),
    "flash_attn._flash_attn_backward": _flash_flops(False, None),
    "flash_attn._flash_attn_varlen_forward": _flash_flops(True, 3),
    "flash_attn._flash_attn_varlen_backward": _flash_flops(False, 9),
    "flash_attn_3.fwd": _flash_flops(True, 7),
    "flash_attn_3.bwd": _flash_flops(False, 9),
    "flash_attn_3._flash_attn_forward": _flash_flops(True, 7),
    "flash_attn_3._flash_attn_backward": _flash_flops(False, 6),
    "bitsandbytes.gemm_4bit": gemm_4bit_flops,
    "bitsandbytes.gemv_4bit": gemm_4bit_flops,
    "bitsandbytes.int8_linear_matmul": matmul_8bit_flops,
    "bitsandbytes.int8_scaled_mm": matmul_8bit_flops,
}
