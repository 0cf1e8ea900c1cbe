"""Grouped matrix products, one for each expert: a kernel for them all, or one product after another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel

aten = torch.ops.aten
_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_ALIGNED_BYTES = 16
_POINTER_BYTES = _STRIDE_BYTES = 8
_PROBLEM_BYTES = 12
_TENSOR_MAP_BYTES = 128
#: Of the two factors, of C and of D.
_TENSOR_MAPS = 4


def product(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a grouped product.

    PyTorch's shapes for `meta` are those of bf16 alone, whereas CUDA takes other types too.

    Raises:
        RuntimeError: CUDA would refuse the arguments; in PyTorch's words.
    """
    left, right = args[:2]
    ends = args[2] if len(args) > 2 else kwargs.get("offs")
    _check(left)
    _check(right)
    result = _empty_result(left, right, ends)
    step.born(result)
    capability = step.machine.compute_capability
    if capability in ((9, 0), (10, 0)) and left.dtype == right.dtype == torch.bfloat16:
        groups = right.size(0) if ends is None else ends.size(0)
        held = [step.take(_arguments_bytes(groups))]
        held.append(step.take(_TENSOR_MAPS * _TENSOR_MAP_BYTES * step.machine.multiprocessors))
        step.give_back(*reversed(held))
    else:
        step.use_workspace("cublas", step.machine.cublas_workspace_bytes)
    return result


def _check(matrix: Tensor) -> None:
    if matrix.dtype not in _TYPES:
        raise RuntimeError(f"Expected Float32, BFloat16 or Float16 matrix, got {matrix.dtype}")
    multiple = _ALIGNED_BYTES // matrix.element_size()
    for along, across in ((-1, -2), (-2, -1)):
        if matrix.stride(along) == 1 and matrix.stride(across) >= max(1, matrix.size(along)):
            if matrix.stride(across) % multiple:
                raise RuntimeError("strides should be multiple of 16 bytes")
            return
    raise RuntimeError(
        f"Invalid strides/sizes, got {matrix.stride()} for strides and {matrix.size()} for sizes"
    )


def _empty_result(left: Tensor, right: Tensor, ends: Tensor | None) -> Tensor:
    """Return a matrix for all rows, or one for each group, whose rows lie at multiples of 16 bytes."""
    rows, columns = left.size(-2), right.size(-1)
    multiple = _ALIGNED_BYTES // left.element_size()
    apart = -(-columns // multiple) * multiple
    if left.dim() != right.dim():
        size, stride = (rows, columns), (apart, 1)
        return torch.empty_strided(size, stride, dtype=left.dtype, device="meta")
    groups = left.size(0) if ends is None else ends.size(0)
    return torch.empty_strided(
        (groups, rows, columns), (rows * apart, apart, 1), dtype=left.dtype, device="meta"
    )


def _arguments_bytes(groups: int) -> int:
    """Return the bytes of the pointers, strides and sizes of each group's three matrices."""
    aligned = -(-groups // 2) * 2
    return 3 * aligned * _POINTER_BYTES + groups * (_PROBLEM_BYTES + 3 * _STRIDE_BYTES)


KERNELS = (
    Kernel(
        name="grouped matrix product",
        # PyTorch has it from 2.8 on.
        ops=(aten._grouped_mm.default,) if hasattr(aten, "_grouped_mm") else (),
        model=product,
        formula=(
            "bf16 on compute capability 9.0 and 10.0: 60 bytes for each of g groups (24 more if g is odd) "
            "and 512 for each multiprocessor, given back; else a matrix product's workspace"
        ),
        source=(
            "ATen/native/cuda/GroupMM.cu: bf16bf16_grouped_gemm_impl_sm90_sm100; "
            "ATen/native/GroupedMMUtils.h; in CUTLASS gemm/kernel/"
            "sm90_gemm_array_tma_warpspecialized_pingpong.hpp: get_workspace_size; H200 traces"
        ),
    ),
)
