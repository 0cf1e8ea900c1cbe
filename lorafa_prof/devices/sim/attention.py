"""Scaled dot-product attention as PyTorch runs it on CUDA: which kernel, and what is done around it.

Follows ATen/native/transformers/attention.cpp (scaled_dot_product_attention) and
ATen/native/transformers/cuda/sdp_utils.cpp (select_sdp_backend) of PyTorch 2.11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafa_prof.devices.sim.machine import Machine

aten = torch.ops.aten
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Attention:
    """The arguments of one call of `torch.nn.functional.scaled_dot_product_attention`."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    @property
    def requires_grad(self) -> bool:
        """Whether the result needs a backward."""
        return torch.is_grad_enabled() and any(t.requires_grad for t in (self.query, self.key, self.value))


def attend(call: Attention, machine: Machine) -> Tensor:
    """Return the result of `call`, computed by the kernel that PyTorch chooses on `machine`."""
    return _KERNELS[choose(call, machine)](call)


def choose(call: Attention, machine: Machine) -> str:
    """Return the kernel that PyTorch chooses on `machine`: "cudnn", "flash", "efficient" or "math".

    They are tried in this order.
    """
    for name, can_use in _RULES.items():
        if can_use(call, machine):
            return name
    return "math"


def can_use_cudnn(call: Attention, machine: Machine) -> bool:
    """Return whether cuDNN's kernel is preferred on `machine` and can serve `call`.

    sdp_utils.cpp: can_use_cudnn_attention, check_prefer_cudnn_attention.
    """
    mask = call.attn_mask
    return (
        machine.prefers_cudnn_attention
        and _is_dense(call)
        and call.query.dtype in HALF
        and (mask is None or (not mask.requires_grad and mask.dim() in (2, 4)))
        and _last_strides_are_one(call, single=True)
        and _heads_fit(call)
        and max(call.query.size(-1), call.value.size(-1)) <= machine.widest_cudnn_head
        and call.query.size(-1) % 8 == 0
        and call.value.size(-1) % 8 == 0
        and call.key.size(2) != 1
        and (call.dropout_p == 0.0 or call.query.size(2) != 1)
    )


def can_use_flash(call: Attention, machine: Machine) -> bool:
    """Return whether the flash kernel can serve `call` (sdp_utils.cpp, can_use_flash_attention)."""
    width = call.query.size(-1)
    return (
        machine.compute_capability >= (8, 0)
        and _is_dense(call)
        and call.query.dtype in HALF
        and call.attn_mask is None
        and width == call.key.size(-1) == call.value.size(-1)
        and width <= 256
        and not (call.requires_grad and _backward_lacks_shared_memory(call, machine))
        and (not call.is_causal or call.query.size(2) == call.key.size(2))
        and _heads_fit(call)
        and _last_strides_are_one(call, single=True)
    )


def _backward_lacks_shared_memory(call: Attention, machine: Machine) -> bool:
    """Return whether backward by flash attention needs more shared memory than the GPU has.

    sdp_utils.cpp: check_requires_grad_and_head_dim_gt192_constraints_on_sm86_89_or_120.
    """
    small = (8, 6) <= machine.compute_capability <= (8, 9) or machine.compute_capability[0] == 12
    width = call.query.size(-1)
    return small and width > 192 and (width <= 224 or call.dropout_p > 0.0)


def can_use_efficient(call: Attention, machine: Machine) -> bool:
    """Return whether the memory-efficient kernel can serve `call`; it takes no grouped heads.

    sdp_utils.cpp: can_use_mem_efficient_attention.
    """
    dtype = call.query.dtype
    half = dtype in HALF
    ampere = machine.compute_capability >= (8, 0)
    alignment = 1
    if ampere or (half and machine.compute_capability >= (7, 0)):
        alignment = 8 if half else 4
    return (
        _is_dense(call)
        and dtype in ((*HALF, torch.float32) if ampere else (torch.float16, torch.float32))
        and call.query.size(-1) == call.key.size(-1)
        and call.query.size(-1) % alignment == 0
        and call.value.size(-1) % alignment == 0
        and _last_strides_are_one(call)
        and call.query.size(1) == call.key.size(1) == call.value.size(1)
    )


def _is_dense(call: Attention) -> bool:
    return call.query.dim() == call.key.dim() == call.value.dim() == 4 and call.query.size(
        0
    ) == call.key.size(0)


def _heads_fit(call: Attention) -> bool:
    heads, of_key = call.query.size(1), call.key.size(1)
    return heads == of_key or (call.enable_gqa and heads % of_key == 0)


def _last_strides_are_one(call: Attention, *, single: bool = False) -> bool:
    """Return whether query, key and value have stride 1 in their last dimension.

    With `single`, heads of size 1 pass whatever their stride. check_last_dim_stride_equals_1_dense.
    """
    mask = call.attn_mask
    dense = all(t.stride(-1) == 1 for t in (call.query, call.key, call.value))
    return (dense or (single and call.query.size(-1) == 1)) and (mask is None or mask.stride(-1) == 1)


def _cudnn(call: Attention) -> Tensor:
    mask = call.attn_mask
    if mask is not None and mask.dtype == torch.bool:
        mask = _additive(mask, call.query.dtype)
    result: Tensor = aten._scaled_dot_product_cudnn_attention(
        call.query,
        call.key,
        call.value,
        mask,
        call.requires_grad,
        call.dropout_p,
        call.is_causal,
        False,
        scale=call.scale,
    )[0]
    return result


def _flash(call: Attention) -> Tensor:
    width = call.query.size(-1)
    missing = -width % 8
    tensors = [F.pad(t, [0, missing]) if missing else t for t in (call.query, call.key, call.value)]
    scale = call.scale if call.scale is not None else 1 / math.sqrt(width)
    result: Tensor = aten._scaled_dot_product_flash_attention(
        *tensors, call.dropout_p, call.is_causal, False, scale=scale
    )[0]
    return result[..., :width] if missing else result


def _efficient(call: Attention) -> Tensor:
    mask = call.attn_mask
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = _additive(mask, call.query.dtype)
        mask = _aligned(mask).expand(*call.query.shape[:3], call.key.size(2))
    result: Tensor = aten._scaled_dot_product_efficient_attention(
        call.query,
        call.key,
        call.value,
        mask,
        call.requires_grad,
        call.dropout_p,
        call.is_causal,
        scale=call.scale,
    )[0]
    return result


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a boolean mask as one to be added, in `dtype` (attention.cpp, convert_boolean_attn_mask)."""
    zero = torch.scalar_tensor(0.0, dtype=dtype, device=mask.device)
    minus_infinity = torch.scalar_tensor(-math.inf, dtype=dtype, device=mask.device)
    return torch.where(mask, zero, minus_infinity)


def _aligned(bias: Tensor) -> Tensor:
    """Return `bias` with rows that start at multiples of 8 elements (attention.cpp, pad_bias)."""
    if all(stride % 8 == 0 for stride in bias.stride()[:-1]) and bias.stride(-1) == 1:
        return bias
    last = bias.size(-1)
    return F.pad(bias, [0, 8 - last % 8])[..., :last]


def attention_by_products(call: Attention) -> Tensor:
    """Return attention by two matrix products and a softmax.

    attention.cpp, _scaled_dot_product_attention_math. Every tensor has a name of its own, since the original
    keeps them all until it returns.
    """
    dtype = call.query.dtype
    wide_query, wide_key, wide_value = (
        t.to(torch.float32) if dtype in HALF else t for t in (call.query, call.key, call.value)
    )
    factor = math.sqrt(call.scale if call.scale is not None else 1 / math.sqrt(call.query.size(-1)))
    query = aten.mul.Scalar(wide_query, factor)
    mask = call.attn_mask
    if call.is_causal:
        mask = torch.ones(query.size(-2), wide_key.size(-2), dtype=torch.bool, device=query.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        mask = _additive(mask, query.dtype)
    key, value = wide_key, wide_value
    if call.enable_gqa and query.size(-3) != wide_key.size(-3):
        groups = query.size(-3) // wide_key.size(-3)
        key, value = (t.repeat_interleave(groups, -3) for t in (wide_key, wide_value))
    weights = torch.matmul(query, aten.mul.Scalar(key.transpose(-2, -1), factor))
    if mask is not None:
        weights.add_(mask)
    weights = aten._safe_softmax(weights, -1)
    if call.dropout_p > 0.0:
        weights = torch.native_dropout(weights, call.dropout_p, True)[0]
    # The weights are returned too, in the narrow type, and made first.
    narrow_weights = weights.to(dtype)
    result = torch.matmul(weights, value).to(dtype)
    del narrow_weights
    return result


_RULES = {"cudnn": can_use_cudnn, "flash": can_use_flash, "efficient": can_use_efficient}
_KERNELS = {"cudnn": _cudnn, "flash": _flash, "efficient": _efficient, "math": attention_by_products}
