"""Indexing by tensors, putting at indices, sorting, and reading a value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.in_place import in_a_formula_of_backward
from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.sorting import sort_pairs_bytes
from lorafa_prof.devices.sim.values import KNOWN
from lorafa_prof.errors import LorafaProfError

aten = torch.ops.aten
SORTED_IN_PLACE_AT_MOST = 4096


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


def _index_put(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Put values at indices; to add them up where an index comes again, the indices are sorted first."""
    result = step.run(func, args, kwargs)
    accumulate = args[3] if len(args) > 3 else kwargs.get("accumulate", False)
    indices = [column for index in args[1] for column in _columns(step, index)]
    if accumulate:
        _sort_indices(step, args[0], indices)
    return result


def _sort_indices(step: Execution, target: Tensor, indices: Sequence[Tensor | None]) -> None:
    """Take and give back what index_put_with_sort_kernel does of ATen/native/cuda/Indexing.cu."""
    given = [index for index in indices if index is not None]
    count = torch.broadcast_tensors(*given)[0].numel()
    linear = None
    for index in given:
        # The gradient of indexing, whose indices forward has checked, leaves that out.
        for _ in () if in_a_formula_of_backward() else ("largest", "smallest"):
            step.give_back(*reversed([step.take(index.element_size()), step.take(1)]))
        wrapped = step.take(numel_bytes(index))
        scaled = step.take(numel_bytes(index, torch.int64))
        step.give_back(wrapped)
        if linear is None:
            linear = scaled
        else:
            step.give_back(scaled)
    rows = math.prod(size for size, index in zip(target.shape, indices, strict=False) if index is not None)
    held = [step.take(8 * count) for _ in ("sorted indices", "order")]
    numbers = step.take(8 * count)
    step.give_back(step.take(sort_pairs_bytes(count, bits=max(1, (rows - 1).bit_length()))))
    step.give_back(numbers, *reversed(held), linear)


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


def _sort(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Sort; one row of 64-bit numbers, as the experts that tokens go to, is all that traces have."""
    result = step.run(func, args, kwargs)
    keys = args[0]
    if keys.dim() == 1 and keys.dtype == torch.int64:
        held = [step.take(numel_bytes(keys))]
        if keys.numel() > SORTED_IN_PLACE_AT_MOST:
            held.append(step.take(sort_pairs_bytes(keys.numel())))
        step.give_back(*reversed(held))
    return result


KERNELS = (
    Kernel(
        name="put at indices",
        ops=(aten.index_put.default, aten.index_put_.default),
        model=_index_put,
        formula=(
            "to accumulate: the largest and smallest index unless in backward; indices wrapped and scaled; "
            "these sorted, with their order; CUB's storage"
        ),
        source=(
            "ATen/native/cuda/Indexing.cu: index_put_with_sort_kernel; "
            "ATen/native/TensorAdvancedIndexingUtils.h; H200 traces"
        ),
    ),
    Kernel(
        name="sort",
        ops=(aten.sort.default, aten.sort.stable),
        model=_sort,
        formula="of one row of int64: a number for each; above 4,096 CUB's storage too",
        source="ATen/native/cuda/Sort.cpp, SortStable.cu; H200 traces",
    ),
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
