"""bitsandbytes' own operations, as scripts of others call them, in the order of an H200's trace."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from ledger import on_meta, recording

BF16, UINT8 = torch.bfloat16, torch.uint8
CUBLAS = 32 << 20
DEFINITIONS = (
    "gemm_4bit(Tensor A, Tensor B, int[] shapeB, Tensor absmax, int blocksize, str quant_type, "
    "Tensor? bias=None, Tensor? absmax_8bit=None, Tensor? absmax_code=None, Tensor? absmax_offset=None) "
    "-> Tensor",
    "quantize_4bit(Tensor A, int blocksize, str quant_type, ScalarType quant_storage) -> (Tensor, Tensor)",
    "quantize_blockwise(Tensor A, Tensor code, int blocksize) -> (Tensor, Tensor)",
)


if find_spec("bitsandbytes") is not None:
    import bitsandbytes  # noqa: F401
else:  # operations of its names and signatures
    LIBRARY = torch.library.Library("bitsandbytes", "FRAGMENT")
    for definition in DEFINITIONS:
        LIBRARY.define(definition)


@pytest.mark.parametrize(
    ("rows", "events"),
    [
        pytest.param(2048, [1024, 1024, 512 * 128 * 2, 2048 * 512 * 2, CUBLAS], id="unpacked-first"),
        pytest.param(4, [4 * 512 * 2], id="in-one-kernel"),
    ],
)
def test_a_product_takes_a_dense_weight_unless_one_kernel_does_it(rows: int, events: list[int]) -> None:
    with recording() as memory:
        x, packed = on_meta(rows, 128, dtype=BF16), on_meta(512 * 64, 1, dtype=UINT8)
        maxima, maxima_8bit, code = on_meta(4), on_meta(256, dtype=UINT8), on_meta(256)
        before = len(memory.events)
        y = torch.ops.bitsandbytes.gemm_4bit(
            x, packed, [512, 128], maxima, 64, "nf4", None, maxima_8bit, code, on_meta(1)
        )
        asked = [size for size in memory.events[before:] if size > 4]
    assert (tuple(y.shape), y.dtype, y.is_cuda) == ((rows, 512), BF16, True)
    assert asked == events


def test_quantizing_makes_the_maxima_before_the_numbers() -> None:
    with recording() as memory:
        weight, code = on_meta(64, 64, dtype=BF16), on_meta(256)
        before = len(memory.events)
        packed, maxima = torch.ops.bitsandbytes.quantize_4bit(weight, 64, "nf4", UINT8)
        packed_8bit, maxima_8bit = torch.ops.bitsandbytes.quantize_blockwise(maxima, code, 256)
        asked = memory.events[before:]
    assert (tuple(packed.shape), packed.dtype, tuple(maxima.shape)) == ((2048, 1), UINT8, (64,))
    assert (tuple(packed_8bit.shape), packed_8bit.dtype, tuple(maxima_8bit.shape)) == ((64,), UINT8, (1,))
    assert asked == [64 * 4, 2048, 4, 64]


def test_of_what_is_not_contiguous_a_copy_is_quantized() -> None:
    with recording() as memory:
        weight = on_meta(64, 32, dtype=BF16).t()
        before = len(memory.events)
        kept = torch.ops.bitsandbytes.quantize_4bit(weight, 64, "nf4", UINT8)
        asked = memory.events[before:]
    del kept
    assert asked == [64 * 32 * 2, 32 * 4, 1024, -64 * 32 * 2]
