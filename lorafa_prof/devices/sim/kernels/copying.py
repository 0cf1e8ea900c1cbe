"""Copies from the host, and numbers that become tensors on the device."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes

aten = torch.ops.aten
SCALAR_BYTES = 8


def _to_copy(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    if result.is_cuda and not args[0].is_cuda and not result.is_contiguous():
        step.give_back(step.take(numel_bytes(result)))
    return result


def _scalar_base(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    step.give_back(step.take(SCALAR_BYTES))
    return result


def _copy(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    # Memory of the host that stands for pinned one has no values, as the device's.
    if args[0].is_meta or args[1].is_meta:
        return args[0]
    return step.run(func, args, kwargs)


KERNELS = (
    Kernel(
        name="copy from and to pinned memory",
        ops=(aten.copy_.default,),
        model=_copy,
        formula="nothing, for tensors without gaps of one type",
        source="ATen/native/cuda/Copy.cu: copy_requires_temporaries",
    ),
    Kernel(
        name="copy to the device",
        ops=(aten._to_copy.default,),
        model=_to_copy,
        formula="from the host into a result that is not contiguous: a contiguous one to copy from",
        source="ATen/native/cuda/Copy.cu: copy_kernel_cuda; H100 traces",
    ),
    Kernel(
        name="power of a number",
        ops=(aten.pow.Scalar,),
        model=_scalar_base,
        formula="the number as a tensor of 8 bytes",
        source="ATen/native/Pow.cpp: pow_Scalar_out; H100 traces",
    ),
)
