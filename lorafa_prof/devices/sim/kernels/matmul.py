"""Matrix products: cuBLAS's and cuBLASLt's workspaces, up to PyTorch 2.14 kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.machine import CHECKED_TORCH, MIB
from lorafa_prof.devices.sim.out_dtypes import overloads_with_out_dtype

aten = torch.ops.aten
CUBLASLT_WORKSPACE_BYTES = 1 * MIB
HOLDS_FOR = f"torch {CHECKED_TORCH}; 2.15 as read in its source"


def product(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a matrix product by cuBLAS."""
    result = step.run(func, args, kwargs)
    # The last two tensors are multiplied; PyTorch looks at the right one first.
    factors = [arg for arg in args if isinstance(arg, Tensor)][-2:]
    copies = [step.take(numel_bytes(matrix)) for matrix in reversed(factors) if _is_copied(matrix)]
    step.use_workspace("cublas", step.machine.cublas_workspace_bytes)
    step.give_back(*reversed(copies))
    return result


def _is_copied(matrix: Tensor) -> bool:
    """Return whether cuBLAS needs a copy: neither rows nor columns lie one after the other.

    ATen/native/cuda/Blas.cpp: prepare_batch_matrix_for_cublas; cuBlasCommonArgs.h: prepare_matrix_for_cublas.
    """
    if matrix.is_contiguous() and 0 not in matrix.stride():
        return False
    return not any(
        matrix.stride(along) == 1 and matrix.stride(over) >= max(1, matrix.size(along))
        for along, over in ((-1, -2), (-2, -1))
    )


def product_with_bias(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a matrix product that is added to its first argument."""
    by_cublaslt = _fused_with_bias(args[0], args[2], kwargs)
    if by_cublaslt and step.machine.gives_workspaces_back:
        result = step.run(func, args, kwargs)
    else:
        # Where workspaces are kept, cuBLASLt's handle is a cuBLAS handle with its own.
        result = product(step, func, args, kwargs)
    if by_cublaslt:
        step.use_workspace("cublasLt", CUBLASLT_WORKSPACE_BYTES)
    return result


def _fused_with_bias(bias: Tensor, right: Tensor, kwargs: Any) -> bool:
    """Return whether cuBLASLt adds the bias (ATen/native/cuda/Blas.cpp, isInputCompliesAddmmCudaLt).

    A single row that is added, as a batch of one sample has in a head, is a bias too.
    """
    return (
        kwargs.get("beta", 1) == 1
        and (bias.dim() == 1 or bias.squeeze().dim() == 1)
        and bias.size(-1) == right.size(1)
        and bias.is_contiguous()
        and min(right.shape) > 1
    )


KERNELS = (
    Kernel(
        name="matrix product",
        ops=(
            aten.mm.default,
            aten.mm.out,
            aten.bmm.default,
            aten.baddbmm.default,
            aten.baddbmm_.default,
            *overloads_with_out_dtype("mm", "bmm", "baddbmm"),
        ),
        model=product,
        formula=(
            "32 MiB on compute capability 9.0, from torch 2.12 on also 10.x and 12.x, from 2.15 on 11.x; "
            "else 8.125 MiB; once in each thread, from 2.15 on for each product; a copy of a factor of which "
            "neither rows nor columns lie one after the other"
        ),
        source=(
            "ATen/cuda/CublasHandlePool.cpp: parseChosenWorkspaceSize; ATen/native/cuda/Blas.cpp; traces of "
            "an H100 and an H200"
        ),
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="matrix product with bias",
        ops=(
            aten.addmm.default,
            aten.addmm_.default,
            aten.addmm.out,
            *overloads_with_out_dtype("addmm"),
        ),
        model=product_with_bias,
        formula=(
            "as a matrix product, and 1 MiB more once in each thread when cuBLASLt adds a bias vector; from "
            "torch 2.15 on 1 MiB alone, for each"
        ),
        source=(
            "ATen/native/cuda/Blas.cpp: addmm_out_cuda_impl; ATen/cuda/CublasHandlePool.cpp; traces of an "
            "H100 and an H200"
        ),
        holds_for=HOLDS_FOR,
    ),
)
