"""Fused optimizers, which update their tensors in place, if these lie alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel

aten = torch.ops.aten


def _in_place(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    params, *others = args[:5]  # with gradients, both moments, and of amsgrad the largest second one
    if not all(lie_alike(params, tensors) for tensors in others if tensors):
        moments = "exp_avg_sqs, and max_exp_avg_sqs" if others[3] else "and exp_avg_sqs"
        # PyTorch's own words, as the row of the GPU would have them.
        raise RuntimeError(f"params, grads, exp_avgs, {moments} must have same dtype, device, and layout")


def lie_alike(params: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Return whether a fused CUDA kernel takes these lists: pairs of one shape and strides, without gaps.

    Strides of dimensions of size 1 do not matter.
    """
    return all(_alike(param, other) for param, other in zip(params, others, strict=True))


def _alike(param: Tensor, other: Tensor) -> bool:
    if param.shape != other.shape:
        return False
    strides = zip(param.shape, param.stride(), other.stride(), strict=True)
    return all(ours == theirs for size, ours, theirs in strides if size != 1) and _is_dense(param)


def _is_dense(tensor: Tensor) -> bool:
    """Return whether elements of `tensor` are neither shared nor apart."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


KERNELS = (
    Kernel(
        name="fused AdamW",
        ops=(aten._fused_adamw_.default, aten._fused_adam_.default),
        model=_in_place,
        formula="nothing; tensors that do not lie alike are refused",
        source="ATen/native/cuda/FusedAdamWKernel.cu; ATen/native/ForeachUtils.h; H100 traces",
    ),
)
