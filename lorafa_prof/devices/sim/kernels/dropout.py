"""Dropout as one kernel, with a mask of one byte per element."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel


def _native_dropout(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    x = args[0]
    mask = torch.empty_like(x, dtype=torch.bool, device="meta")
    result = torch.empty_like(x, device="meta")
    step.born(mask, result)
    return result, mask


KERNELS = (
    Kernel(
        name="dropout",
        ops=(torch.ops.aten.native_dropout.default,),
        model=_native_dropout,
        formula="the mask before the result, 1 byte an element",
        source="ATen/native/cuda/Dropout.cu: dropout_cuda; H100 traces",
    ),
)
