"""Softmax: temporaries of its backward, and of the variant that survives rows without any key."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes

aten = torch.ops.aten


def _backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    step.give_back(step.take(numel_bytes(args[0])))
    return result


def _safe(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    x, dim = args[0], args[1]
    sizes = (x.numel(), x.numel() // x.size(dim), x.element_size())
    step.give_back(*reversed([step.take(size) for size in sizes]))
    return result


KERNELS = (
    Kernel(
        name="softmax backward",
        ops=(aten._softmax_backward_data.default,),
        model=_backward,
        formula="gradient times output",
        source="ATen/native/cuda/SoftMax.cu: softmax_backward_cuda_out; H100 traces",
    ),
    Kernel(
        name="safe softmax",
        ops=(aten._safe_softmax.default,),
        model=_safe,
        formula="which elements are -inf, which rows are all -inf, and a zero",
        source="ATen/native/transformers/attention.cpp: _safe_softmax; H100 traces",
    ),
)
