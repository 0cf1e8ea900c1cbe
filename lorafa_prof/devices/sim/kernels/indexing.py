"""Indexing by tensors, and reading a value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.values import KNOWN
from lorafa_prof.errors import LorafaProfError

aten = torch.ops.aten


def _index(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    args = (args[0], [column for index in args[1] for column in _columns(step, index)])
    indices = [index for index in args[1] if isinstance(index, Tensor)]
    blocks = []
    if len(indices) > 1:
        expanded = torch.broadcast_tensors(*indices)
        if len({index.stride() for index in expanded}) > 1:
            blocks = [step.take(numel_bytes(index)) for index in expanded if not index.is_contiguous()]
    result = step.run(func, args, kwargs)
    step.give_back(*blocks)
    return result


def _columns(step: Execution, index: Tensor | None) -> list[Tensor | None]:
    """What stands for an index: for a mask the positions it selects, one column for each dimension."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    positions: Tensor = step.run(aten.nonzero.default, (index,), {})
    with on_shapes():
        return list(positions.unbind(1))


def _item(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    value = step.value_of(args[0]) if args[0].is_cuda else args[0]
    if value is None:
        raise LorafaProfError(
            "the model reads a value of a floating-point tensor that no constant gives; "
            f"the twin knows {KNOWN}"
        )
    with on_shapes(False):
        return value.item()


KERNELS = (
    Kernel(
        name="index",
        ops=(aten.index.Tensor,),
        model=_index,
        formula="copies of the broadcast indices unless all of them have the same strides",
        source="ATen/native/TensorAdvancedIndexing.cpp: AdvancedIndex; H100 traces",
    ),
    Kernel(
        name="item",
        ops=(aten._local_scalar_dense.default,),
        model=_item,
        formula="nothing",
        source="ATen/native/cuda/CUDAScalar.cu",
    ),
)
