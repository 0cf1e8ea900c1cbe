"""The gradient of an embedding: sorted by index where there are many."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.sorting import (
    scan_bytes,
    sort_pairs_bytes,
    unique_by_key_bytes,
)

aten = torch.ops.aten
UNSORTED_AT_MOST = 3072
ROWS_PER_THREAD = 10
# Tables of so few rows add up their parts another way: seen with 1 and 32 rows, not with 514.
FEW_ROWS = 64


def _dense_backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    grad, indices, rows = args[:3]
    count = indices.numel()
    held = [step.take(numel_bytes(tensor)) for tensor in (indices, grad) if not tensor.is_contiguous()]
    if count <= UNSORTED_AT_MOST:
        result = step.run(func, args, kwargs)
        step.give_back(*held)
        return result
    index_bytes = count * indices.element_size()
    held += [step.take(index_bytes), step.take(index_bytes)]
    order = step.take(index_bytes)
    step.give_back(step.take(sort_pairs_bytes(count)))
    step.give_back(order)
    result = torch.empty(rows, grad.size(-1), dtype=grad.dtype, device="meta")
    step.born(result)
    held += _segments(step, result, count, indices.element_size())
    step.give_back(*reversed(held))
    return result


def _segments(step: Execution, weight: Tensor, count: int, index_size: int) -> list[Any]:
    """Take memory for where runs of equal indices and their parts start, and return its blocks.

    ATen/native/cuda/EmbeddingBackwardKernel.cu, embedding_backward_cuda_kernel.
    """
    held = [step.take(count * index_size), step.take(8)]
    keys = step.take(count * index_size)
    step.give_back(step.take(unique_by_key_bytes(count)))
    step.give_back(keys)
    segments = min(count, weight.size(0))
    held += [step.take(segments * index_size), step.take(segments * index_size)]
    step.give_back(step.take(scan_bytes(segments, index_size)))
    held.append(step.take(8))
    parts = count // ROWS_PER_THREAD + segments
    held.append(step.take(parts * index_size))
    summed = parts
    if weight.size(0) <= FEW_ROWS:
        held.append(step.take(parts * index_size))
        if weight.element_size() == 4:
            return held  # They go right into the result.
        summed = segments
    held.append(step.take(summed * weight.size(1) * 4))
    return held


KERNELS = (
    Kernel(
        name="embedding backward",
        ops=(aten.embedding_dense_backward.default,),
        model=_dense_backward,
        formula="over 3072 indices: sorted indices, their order, runs of equal ones, partial sums in float32",
        source="ATen/native/cuda/Embedding.cu, EmbeddingBackwardKernel.cu; H100 traces",
    ),
)
