"""cuDNN's fused attention, the first choice on compute capability 9.0 and 10.0."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel
from lorafa_prof.devices.sim.layout import empty_in_layout_of

aten = torch.ops.aten
FORWARD_WORKSPACE_BYTES = 256


def _forward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    query, key, value = args[:3]
    batch, heads, length, _ = query.shape
    seed, offset = (torch.empty((), dtype=torch.int64, device="meta") for _ in range(2))
    out = empty_in_layout_of(query, (batch, heads, length, value.size(-1)))
    lse = None
    if args[4]:
        lse = torch.empty(batch, heads, length, 1, dtype=torch.float32, device="meta")
    step.born(seed, offset, out, lse)
    step.give_back(step.take(FORWARD_WORKSPACE_BYTES))
    return out, lse, None, None, length, key.size(2), seed, offset, None


def _backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    _, query, key, value = args[:4]
    grads = tuple(torch.empty_like(tensor, device="meta") for tensor in (query, key, value))
    step.born(*grads)
    batch, heads, length, width = query.shape
    # The query's gradient is accumulated in float32, beside a sum per row.
    workspace = batch * heads * length * (width + 1) * 4 + 256
    if key.size(1) != heads:
        # Grouped heads: gradients of key and value per query head, added up at the end.
        workspace += batch * heads * key.size(2) * (width + value.size(-1)) * query.element_size()
    step.give_back(step.take(workspace))
    return grads


KERNELS = (
    Kernel(
        name="cuDNN attention",
        ops=(aten._scaled_dot_product_cudnn_attention.default,),
        model=_forward,
        formula="two 8-byte random states before the results, a workspace of 256 bytes after them",
        source="ATen/native/transformers/cuda/attention.cu, ATen/native/cudnn/MHA.cpp; H100 traces",
    ),
    Kernel(
        name="cuDNN attention backward",
        ops=(aten._scaled_dot_product_cudnn_attention_backward.default,),
        model=_backward,
        formula="4·b·h·s·(d + 1) + 256 bytes; with grouped heads 2·b·h·s·2d more in 16 bit",
        source="H100 traces, cuDNN 9.19: d 16 to 128, s 200 to 2048",
    ),
)
