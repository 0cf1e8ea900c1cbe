"""Sums and other reductions: a copy if the type changes first, and buffers if blocks share an output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.reductions import reduction_buffers
from lorafa_prof.devices.sim.sorting import scan_bytes

aten = torch.ops.aten
#: Elements of a chunk of the multi-tensor kernels (ATen/native/cuda/MultiTensorApply.cuh).
NORM_CHUNK = 65536


def _sum(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    x = args[0]
    if _cast_first(x, result.dtype):
        step.give_back(step.take(numel_bytes(x, result.dtype)))
        return result
    _buffers(step, x, _dims(x, args), _accumulated(x.dtype))
    return result


def _any(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    _buffers(step, args[0], _dims(args[0], args), 1)
    return result


def _norm(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    x = args[0]
    dims = args[2] if len(args) > 2 and args[2] else range(x.dim())
    _buffers(step, x, [dim % x.dim() for dim in dims], _accumulated(x.dtype))
    return result


def _norms(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    chunks = max(-(-tensor.numel() // NORM_CHUNK) for tensor in args[0])
    partial = step.take(4 * len(args[0]) * chunks)
    result = step.run(func, args, kwargs)
    step.give_back(partial)
    return result


def _cumsum(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    held = [step.take(numel_bytes(result))] if args[0].dtype != result.dtype else []
    if result.numel() == result.size(args[1]):
        # One row only is left to CUB.
        step.give_back(step.take(scan_bytes(result.numel(), result.element_size())))
    step.give_back(*held)
    return result


def _buffers(step: Execution, x: Tensor, dims: list[int], accumulate_bytes: int) -> None:
    buffers = reduction_buffers(
        x.shape, x.stride(), dims, accumulate_bytes=accumulate_bytes, processors=step.machine
    )
    if buffers is not None:
        blocks = [step.take(size) for size in buffers]
        step.give_back(*reversed(blocks))


def _dims(x: Tensor, args: Any) -> list[int]:
    reduced = args[1] if len(args) > 1 else None
    if reduced is None or reduced == []:
        return list(range(x.dim()))
    return [dim % x.dim() for dim in ([reduced] if isinstance(reduced, int) else reduced)]


def _accumulated(dtype: torch.dtype) -> int:
    """Return the bytes of the type that partial results have (ATen/AccumulateType.h)."""
    return 8 if dtype in (torch.float64, torch.int64) else 4


def _cast_first(x: Tensor, to: torch.dtype) -> bool:
    # 16-bit floats are widened inside the kernel, everything else by a copy before it.
    widened_inside = x.dtype in (torch.float16, torch.bfloat16) and to == torch.float32
    return x.dtype != to and not widened_inside


KERNELS = (
    Kernel(
        name="sum",
        ops=(
            aten.sum.default,
            aten.sum.dim_IntList,
            aten.mean.default,
            aten.mean.dim,
        ),
        model=_sum,
        formula="a copy in the result's type, or the two buffers of a reduction over blocks",
        source="ATen/native/ReduceOps.cpp; ATen/native/cuda/Reduce.cuh: setReduceConfig; H100 traces",
    ),
    Kernel(
        name="any, all",
        ops=(aten.any.default, aten.any.dim, aten.all.default, aten.all.dim),
        model=_any,
        formula="the two buffers of a reduction over blocks, 1 byte a partial result",
        source="ATen/native/cuda/ReduceLogicKernel.cu; ATen/native/cuda/Reduce.cuh; H100 traces",
    ),
    Kernel(
        name="norm",
        ops=(aten.linalg_vector_norm.default,),
        model=_norm,
        formula="the two buffers of a reduction over blocks",
        source="ATen/native/cuda/ReduceNormKernel.cu; H100 measurements",
    ),
    Kernel(
        name="norms of several tensors",
        ops=(aten._foreach_norm.Scalar,),
        model=_norms,
        formula="a float32 for each chunk of 65,536 elements, of all tensors as many as of the largest",
        source="ATen/native/cuda/ForeachReduceOp.cu: foreach_tensor_norm_cuda; H100 measurements",
    ),
    Kernel(
        name="cumsum",
        ops=(aten.cumsum.default,),
        model=_cumsum,
        formula="a copy of the input in the result's type where that differs; CUB's storage for a single row",
        source="ATen/native/ReduceOps.cpp: cumsum; H100 and H200 traces",
    ),
)
