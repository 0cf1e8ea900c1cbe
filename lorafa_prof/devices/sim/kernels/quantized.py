"""Products with quantized weights: a dense copy of those of 4 bits, quantized rows of x for those of 8.

Of 8-bit floats the product alone is modelled: what is around it are operations of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.gemm_4bit import Product4bit, in_one_kernel
from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.devices.sim.kernels.matmul import CUBLASLT_WORKSPACE_BYTES, product, product_with_bias
from lorafa_prof.devices.sim.machine import CHECKED_TORCH
from lorafa_prof.devices.sim.reductions import reduction_buffers
from lorafa_prof.layers.quantized.four_bit import BLOCK
from lorafa_prof.layers.quantized.operations import gemm_4bit, linear_8bit

aten = torch.ops.aten
HOLDS_FOR = f"bitsandbytes 0.50.2 on torch {CHECKED_TORCH}"


def _gemm_4bit(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    x, _, shape, absmax, bias, offset = (*args, None, None)[:6]
    maxima_8bit = absmax if offset is not None else None
    return _product_4bit(step, x, shape, BLOCK, bias, maxima_8bit)


def _gemm_4bit_of_bitsandbytes(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    x, _, shape, _, block, _, bias, maxima_8bit = (*args, None, None)[:8]
    return _product_4bit(step, x, shape, block, bias, maxima_8bit)


def _quantize_to_4bit(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    x, block, _, storage = args
    packed = torch.empty((x.numel() + 1) // (2 * storage.itemsize), 1, dtype=storage, device="meta")
    return _quantized(step, x, block, packed)


def _quantize_to_8bit(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    x, _, block = args
    return _quantized(step, x, block, torch.empty(x.shape, dtype=torch.uint8, device="meta"))


def _quantized(step: Execution, x: Tensor, block: int, packed: Tensor) -> tuple[Tensor, Tensor]:
    copies = [] if x.is_contiguous() else [step.take(numel_bytes(x))]
    maxima = torch.empty(-(-x.numel() // block), dtype=torch.float32, device="meta")
    step.born(maxima, packed)
    step.give_back(*copies)
    return packed, maxima


def _product_4bit(
    step: Execution,
    x: Tensor,
    shape: tuple[int, int],
    block: int,
    bias: Tensor | None,
    maxima_8bit: Tensor | None,
) -> Tensor:
    """Run x times a 4-bit weight [out, in]."""
    out_features, in_features = shape
    rows = x.numel() // in_features
    if in_one_kernel(Product4bit(rows, out_features, in_features, x.dtype, block, step.machine)):
        held = [] if x.is_contiguous() else [step.take(numel_bytes(x))]
        result = torch.empty(*x.shape[:-1], out_features, dtype=x.dtype, device="meta")
        step.born(result)
    else:
        held = []
        if maxima_8bit is not None:
            held = [step.take(numel_bytes(maxima_8bit, torch.float32)) for _ in range(2)]
        held.append(step.take(out_features * in_features * x.element_size()))
        result = _linear(step, x, (in_features, out_features), bias)
    step.give_back(*held)
    return result


def _linear(step: Execution, x: Tensor, shape: tuple[int, int], bias: Tensor | None) -> Tensor:
    """Run x times a dense weight [in, out] whose memory is taken already."""
    flat = x.reshape(-1, x.shape[-1])
    weight = torch.empty(shape[::-1], dtype=x.dtype, device="meta").t()
    if bias is None:
        y = product(step, aten.mm.default, (flat, weight), {})
    else:
        y = product_with_bias(step, aten.addmm.default, (bias, flat, weight), {})
    result: Tensor = y.view(*x.shape[:-1], shape[1])
    return result


def _linear_8bit(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    x, weight = args[0], args[1]
    rows, columns = x.numel() // x.shape[-1], x.shape[-1]
    quantized = _quantize_rows(step, x, rows, columns)
    product_32bit = step.take(4 * rows * len(weight))
    if columns % 4:
        # cuBLASLt has no product of 8-bit numbers for such a width: it is done in float32.
        _float32_product(step, rows, columns, len(weight))
    half = 2 * rows * len(weight)
    result = func(*args, **kwargs)
    if x.dtype == torch.float16:
        step.born(result)
    else:
        rounded = step.take(half)
        step.born(result)
        step.give_back(rounded)
    step.give_back(product_32bit, *reversed(quantized))
    return result


def _quantize_rows(step: Execution, x: Tensor, rows: int, columns: int) -> list[Any]:
    """Take the scales and the 8-bit rows of x, without outliers; they are returned, all else is freed."""
    half = [] if x.dtype == torch.float16 else [step.take(2 * rows * columns)]
    quantized = [step.take(4 * rows), step.take(rows * columns)]
    absolute = step.take(2 * rows * columns)
    outliers = step.take(rows * columns)
    step.give_back(absolute)
    found = step.take(1)
    buffers = reduction_buffers(
        (rows, columns), (columns, 1), [0, 1], accumulate_bytes=1, processors=step.machine
    )
    if buffers is not None:
        step.give_back(*reversed([step.take(size) for size in buffers]))
    step.give_back(found)
    if rows > 1:
        # `out_row[:, outlier_cols] = 0`: the number goes to the device, whether there are columns or not.
        step.give_back(step.take(1))
    step.give_back(outliers, *half)
    return quantized


def _float32_product(step: Execution, rows: int, columns: int, out_features: int) -> None:
    factors = [step.take(4 * rows * columns), step.take(4 * out_features * columns)]
    in_float32 = step.take(4 * rows * out_features)
    step.use_workspace("cublas", step.machine.cublas_workspace_bytes)
    step.give_back(*factors)
    in_32bit = step.take(4 * rows * out_features)
    step.give_back(in_float32, in_32bit)


def _product_of_8bit_floats(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    result = step.run(func, args, kwargs)
    if step.machine.multiplies_fp8_by_cublaslt:
        step.use_workspace("cublasLt", CUBLASLT_WORKSPACE_BYTES)
    return result


KERNELS = (
    Kernel(
        name="product with a 4-bit weight",
        ops=(gemm_4bit.default,),
        model=_gemm_4bit,
        formula=(
            "the weight in the input's type, with double quantization the maxima in float32, twice; "
            "nothing where one kernel does it, by rows, shape and GPU"
        ),
        source="bitsandbytes: backends/cuda/ops.py, gemm_4bit, _dequant_linear_fallback; H200 traces",
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="bitsandbytes' product with a 4-bit weight",
        ops=(),
        names=("bitsandbytes::gemm_4bit",),
        model=_gemm_4bit_of_bitsandbytes,
        formula="as the product with a 4-bit weight of this package's own layers",
        source="bitsandbytes: backends/cuda/ops.py, gemm_4bit, _dequant_linear_fallback; an H200's trace",
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="bitsandbytes' quantizing to 4 bits",
        ops=(),
        names=("bitsandbytes::quantize_4bit",),
        model=_quantize_to_4bit,
        formula="the blocks' maxima before the numbers; of what is not contiguous a copy",
        source="bitsandbytes: backends/cuda/ops.py; an H200's trace",
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="bitsandbytes' quantizing to 8 bits",
        ops=(),
        names=("bitsandbytes::quantize_blockwise",),
        model=_quantize_to_8bit,
        formula="the blocks' maxima before the numbers; of what is not contiguous a copy",
        source="bitsandbytes: backends/cuda/ops.py; an H200's trace",
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="product with an 8-bit weight",
        ops=(linear_8bit.default,),
        model=_linear_8bit,
        formula=(
            "the input in float16, its rows in 8 bits and their scales, its absolute values, where they are "
            "outliers (there are none); the product in 32 bits, and in float16"
        ),
        source="bitsandbytes: autograd/_functions.py, MatMul8bitLt; backends/cuda/ops.py; H200 traces",
        holds_for=HOLDS_FOR,
    ),
    Kernel(
        name="product of 8-bit floats",
        ops=(aten._scaled_mm.default,),
        model=_product_of_8bit_floats,
        formula=(
            "compute capability 9.0: cuBLASLt's workspace of 1 MiB, once in each thread; on others "
            "CUTLASS's kernels, and what these take is not predicted"
        ),
        source=(
            "ATen/native/cuda/ScaledBlas.cpp: _scaled_mm_out_cuda; ATen/cuda/CUDABlas.cpp: scaled_gemm, "
            "CublasLtWorkspace; ATen/native/cuda/RowwiseScaledMM.cu"
        ),
    ),
)
