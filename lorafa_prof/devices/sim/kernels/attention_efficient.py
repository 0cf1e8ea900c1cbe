"""Memory-efficient attention: masks, float32, and GPUs before Ampere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes

aten = torch.ops.aten
BLOCK_ROWS = 64


def _forward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    query, _, value = args[:3]
    batch, heads, length, _ = query.shape
    out = torch.empty(batch, length, heads, value.size(-1), dtype=query.dtype, device="meta")
    # Rows are padded to 32 in 16 bit and in float32 alike.
    rows = -(-length // 32) * 32 if args[4] else 0
    lse = torch.empty(batch, heads, rows, dtype=torch.float32, device="meta")
    step.born(out, lse)
    # The random state is on the host unless a graph is captured.
    with on_shapes(False):
        seed, offset = (torch.empty((), dtype=torch.int64) for _ in range(2))
    return out.transpose(1, 2), lse, seed, offset


def _backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    grad_out, query, key, value, bias, out = args[:6]
    mask = args[10]
    held = []
    if not grad_out.transpose(1, 2).is_contiguous():
        held.append(step.take(numel_bytes(grad_out)))
    grads: list[Tensor | None] = [
        torch.empty_like(
            tensor.transpose(1, 2), device="meta", memory_format=torch.contiguous_format
        ).transpose(1, 2)
        for tensor in (query, key, value)
    ]
    grads.append(_bias_gradient(bias) if bias is not None and mask[3] else None)
    step.born(*grads)
    held.insert(0, _delta(step, query, out))
    batch, heads, length, width = query.shape
    held.insert(1, step.take(4 * batch * heads * _accumulator_elements(length, width)))
    step.give_back(*held)
    return tuple(grads)


def _bias_gradient(bias: Tensor) -> Tensor:
    last = bias.size(-1)
    padded = torch.empty(*bias.shape[:-1], -(-last // 16) * 16, dtype=bias.dtype, device="meta")
    return padded[..., :last]


def _delta(step: Execution, query: Tensor, out: Tensor) -> Any:
    """Take memory for the row sums of output times gradient; float32 computes them outside of the kernel."""
    rows = 4 * query.size(0) * query.size(1) * query.size(2)
    if query.dtype != torch.float32:
        return step.take(rows)
    product, total = step.take(numel_bytes(out)), step.take(rows)
    delta = step.take(rows)
    step.give_back(total, product)
    return delta


def _accumulator_elements(length: int, width: int) -> int:
    """Return the float32 elements per head that add up the query's gradient, with 4 for locks per tile."""
    columns = 64 if width <= 64 else 128
    tiles = -(-length // BLOCK_ROWS) * -(-width // columns)
    return tiles * (BLOCK_ROWS * columns + 4)


KERNELS = (
    Kernel(
        name="efficient attention",
        ops=(aten._scaled_dot_product_efficient_attention.default,),
        model=_forward,
        formula="nothing",
        source="ATen/native/transformers/cuda/attention.cu: _efficient_attention_forward; H100 traces",
    ),
    Kernel(
        name="efficient attention backward",
        ops=(aten._scaled_dot_product_efficient_attention_backward.default,),
        model=_backward,
        formula="4·b·h·s of row sums; the query's gradient in float32, in tiles of 64 rows and 16 bytes",
        source="ATen/native/transformers/cuda/attention_backward.cu, mem_eff_attention/kernel_backward.h: "
        "workspace_size; H100 traces",
    ),
)
