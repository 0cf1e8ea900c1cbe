"""Matrix products: cuBLAS's and cuBLASLt's workspaces, kept for the life of the process."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.machine import CHECKED_TORCH, MIB

aten = torch.ops.aten
CUBLASLT_WORKSPACE_BYTES = 1 * MIB
#: From 2.15 on a workspace is taken for each operation and given back.
HOLDS_FOR = f"torch {CHECKED_TORCH}, and before 2.15"


def product(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a matrix product, whose workspace is kept."""
    result = step.run(func, args, kwargs)
    # The last two tensors are multiplied; PyTorch looks at the right one first.
    factors = [arg for arg in args if isinstance(arg, Tensor)][-2:]
    copies = [step.take(numel_bytes(matrix)) for matrix in reversed(factors) if _is_copied(matrix)]
    step.keep("cublas", step.machine.cublas_workspace_bytes)
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
    """Run a matrix product that is added to its first argument; the workspaces are kept."""
    result = product(step, func, args, kwargs)
    if _fused_with_bias(args[0], args[2], kwargs):
        step.keep("cublasLt", CUBLASLT_WORKSPACE_BYTES)
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
        ),
        model=product,
        formula=(
            "32 MiB on compute capability 9.0 and 10.0, else 8.125 MiB, once in each thread; a copy of a "
            "factor of which neither rows nor columns lie one after the other"
        ),
        source=(
            "ATen/cuda/CublasHandlePool.cpp: parseChosenWorkspaceSize; ATen/native/cuda/Blas.cpp; traces of "
            "an H100 and an H200"
        ),
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="matrix product with bias",
        ops=(aten.addmm.default, aten.addmm_.default, aten.addmm.out, aten.addmm.dtype_out),
        model=product_with_bias,
        formula="as a matrix product, and 1 MiB more once in each thread when cuBLASLt adds a bias vector",
        source=(
            "ATen/native/cuda/Blas.cpp: addmm_out_cuda_impl; ATen/cuda/CublasHandlePool.cpp; traces of an "
            "H100 and an H200"
        ),
        holds_for=HOLDS_FOR,
    ),
)
