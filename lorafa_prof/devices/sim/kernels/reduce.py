"""Sums and their like: a copy where the type changes first, and buffers where blocks share an output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.reductions import reduction_buffers

aten = torch.ops.aten


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


def _cumsum(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    if args[0].dtype != result.dtype:
        step.give_back(step.take(numel_bytes(result)))
    return result


def _buffers(step: Execution, x: Tensor, dims: list[int], accumulate_bytes: int) -> None:
    buffers = reduction_buffers(
        x.shape, x.stride(), dims, accumulate_bytes=accumulate_bytes, processors=step.machine
    )
    if buffers is not None:
        blocks = [step.take(size) for size in buffers]
        step.give_back(*reversed(blocks))


def _dims(x: Tensor, args: Any) -> list[int]:
    given = args[1] if len(args) > 1 else None
    if given is None or given == []:
        return list(range(x.dim()))
    return [dim % x.dim() for dim in ([given] if isinstance(given, int) else given)]


def _accumulated(dtype: torch.dtype) -> int:
    """Bytes of the type that partial results have (ATen/AccumulateType.h)."""
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
        name="cumsum",
        ops=(aten.cumsum.default,),
        model=_cumsum,
        formula="a copy of the input in the result's type where that differs",
        source="ATen/native/ReduceOps.cpp: cumsum; H100 traces",
    ),
)
