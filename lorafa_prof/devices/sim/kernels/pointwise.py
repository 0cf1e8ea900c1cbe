"""Pointwise operations that run other operations inside, or are run inside of others."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes

aten = torch.ops.aten


def _isinf(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    absolute = step.take(numel_bytes(args[0]))
    result = step.run(func, args, kwargs)
    step.give_back(absolute)
    return result


def _equal(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    each = step.take(args[0].numel())
    step.give_back(step.take(1), each)
    return step.run(func, args, kwargs)


KERNELS = (
    Kernel(
        name="isinf",
        ops=(aten.isinf.default,),
        model=_isinf,
        formula="the absolute values",
        source="ATen/native/TensorCompare.cpp: isinf; H100 traces",
    ),
    Kernel(
        name="equal",
        ops=(aten.equal.default,),
        model=_equal,
        formula="a boolean for each element, and one for all",
        source="ATen/native/cuda/Equal.cpp",
    ),
)
