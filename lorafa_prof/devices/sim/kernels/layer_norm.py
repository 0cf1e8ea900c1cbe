"""The gradients of a layer norm's weight and bias over very many rows."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel
from lorafa_prof.devices.sim.reductions import reduction_buffers

aten = torch.ops.aten
MANY_ROWS = 64 * 1024
WARP = 32
PARTIAL_ELEMENTS = 2**20


def _backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    x, normalized, mask = args[1], args[2], args[-1]
    width = 1
    for size in normalized:
        width *= size
    rows = x.numel() // width
    if rows > MANY_ROWS and width // WARP < step.machine.multiprocessors // 2 and mask[1]:
        _sum_partials(step, width, x.element_size())
    return result


def _sum_partials(step: Execution, width: int, element_size: int) -> None:
    """Take and free the partial sums of weight and bias, one for every block of rows."""
    blocks = PARTIAL_ELEMENTS // width
    partials = [step.take(blocks * width * element_size) for _ in range(2)]
    buffers = reduction_buffers(
        (blocks, width), (width, 1), (0,), accumulate_bytes=4, processors=step.machine
    )
    for _ in partials:
        total = step.take(width * element_size)
        held = [step.take(size) for size in buffers or ()]
        step.give_back(*reversed(held), total)
    step.give_back(*partials)


KERNELS = (
    Kernel(
        name="layer norm backward",
        ops=(aten.native_layer_norm_backward.default,),
        model=_backward,
        formula="over 65,536 rows: partial sums of 2^20 elements for weight and bias, a reduction's buffers",
        source="ATen/native/cuda/layer_norm_kernel.cu: LaunchGammaBetaBackwardCUDAKernel; H100",
    ),
)
