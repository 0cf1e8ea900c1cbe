"""What products with quantized weights ask for on the twin, in order, as bitsandbytes 0.50.2 asks for it."""

from __future__ import annotations

import pytest
import torch
from ledger import B200, H100, L4, T4, Ledger, on_meta, recording
from torch import Tensor, nn

from lorafa_prof.devices.sim.machine import MIB, Machine
from lorafa_prof.layers.quantized.eight_bit import StandInLinear8bit
from lorafa_prof.layers.quantized.four_bit import NestedCode, StandInLinear4bit
from lorafa_prof.layers.quantized.fp8 import Fp8Linear

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
OUT, IN, ROWS = 1024, 512, 2048
WORKSPACE = 32 * MIB
BLOCKS = OUT * IN // 64


def four_bit(double: bool, *, shape: tuple[int, int] = (OUT, IN), bias: bool = False) -> StandInLinear4bit:
    parameter = nn.Parameter(on_meta(shape[0], dtype=BF16), requires_grad=False) if bias else None
    weight = on_meta(*shape, dtype=BF16)
    return StandInLinear4bit(weight, parameter, double_quant=double, nested_code=NestedCode())


def eight_bit(dtype: torch.dtype, columns: int = IN) -> StandInLinear8bit:
    return StandInLinear8bit(on_meta(OUT, columns, dtype=dtype), None)


def events(memory: Ledger, layer: nn.Module, x: Tensor) -> list[int]:
    start = len(memory.events)
    with torch.no_grad():
        y = layer(x)
    asked = memory.events[start:]
    del y
    return asked


def test_packing_takes_bytes_maxima_and_levels() -> None:
    with recording() as memory:
        weight = on_meta(OUT, IN, dtype=BF16)
        layer = StandInLinear4bit(weight, None, double_quant=False, nested_code=NestedCode())
        assert memory.events[1:] == [4 * BLOCKS, OUT * IN // 2, 64, 64, 4, -64, -4]
    assert layer.weight.shape == (OUT * IN // 2, 1)


def test_double_quantization_packs_the_maxima_too() -> None:
    with recording() as memory:
        weight = on_meta(OUT, IN, dtype=BF16)
        code = NestedCode()
        held_before = memory.held
        layers = [StandInLinear4bit(weight, None, double_quant=True, nested_code=code) for _ in range(2)]
        held = memory.held - held_before
        # Each: packed, maxima in 8 bits, their own maxima, 16 levels, 256 levels, a mean; once: 256 levels.
        each = OUT * IN // 2 + BLOCKS + 4 * (BLOCKS // 256) + 64 + 1024 + 4
        assert held == 1024 + 2 * each
        assert len(layers) == 2


@pytest.mark.parametrize("kind", ["4 bits", "8 bits"])
def test_a_bias_of_another_type_is_cast_for_good(kind: str) -> None:
    """As `Linear4bit.forward` and `Linear8bitLt.forward` do: once, and the wider one is freed."""
    with recording():
        bias = nn.Parameter(on_meta(OUT, dtype=FP32), requires_grad=False)
        weight = on_meta(OUT, IN, dtype=BF16)
        layer = (
            StandInLinear4bit(weight, bias, double_quant=False, nested_code=NestedCode())
            if kind == "4 bits"
            else StandInLinear8bit(weight, bias)
        )
        y = layer(on_meta(ROWS, IN, dtype=BF16))
        assert (y.dtype, bias.dtype, layer.bias is bias) == (BF16, BF16, True)


@pytest.mark.parametrize("double", [False, True])
def test_many_rows_unpack_the_weight(double: bool) -> None:
    with recording() as memory:
        layer, x = four_bit(double), on_meta(2, ROWS // 2, IN, dtype=BF16)
        nested = [4 * BLOCKS] * 2 if double else []
        asked = events(memory, layer, x)
        dense, y = 2 * OUT * IN, 2 * ROWS * OUT
        assert asked == [*nested, dense, y, WORKSPACE, *(-size for size in nested), -dense]


def test_few_rows_take_their_result_alone() -> None:
    with recording() as memory:
        layer, x = four_bit(True), on_meta(1, 4, IN, dtype=BF16)
        assert events(memory, layer, x) == [2 * 4 * OUT]


def test_a_bias_is_added_by_cublaslt() -> None:
    with recording() as memory:
        layer, x = four_bit(False, bias=True), on_meta(ROWS, IN, dtype=BF16)
        asked = events(memory, layer, x)
    assert asked[-3:] == [WORKSPACE, MIB, -2 * OUT * IN]


def test_an_input_without_order_is_copied_for_the_one_kernel() -> None:
    with recording() as memory:
        layer, x = four_bit(False), on_meta(IN, 4, dtype=BF16).t()
        assert events(memory, layer, x) == [2 * 4 * IN, 2 * 4 * OUT, -2 * 4 * IN]


@pytest.mark.parametrize("double", [False, True])
def test_backward_unpacks_it_again_and_frees_it(double: bool) -> None:
    with recording() as memory:
        layer, grad = four_bit(double), on_meta(ROWS, OUT, dtype=BF16)
        start = len(memory.events)
        result = layer.input_gradient(grad)
        nested = [4 * BLOCKS] if double else []
        dense, grad_x = 2 * OUT * IN, 2 * ROWS * IN
        freed = [-size for size in nested]
        assert memory.events[start:] == [*nested, dense, *freed, grad_x, WORKSPACE, -dense]
        assert result.shape == (ROWS, IN)


@pytest.mark.parametrize("dtype", [BF16, FP16, FP32])
def test_eight_bits_quantize_rows_of_a_float16_copy(dtype: torch.dtype) -> None:
    with recording() as memory:
        layer, x = eight_bit(dtype), on_meta(ROWS, IN, dtype=dtype)
        asked = events(memory, layer, x)
    x_half = [] if dtype == FP16 else [2 * ROWS * IN]
    scales, rows, absolute, outliers = 4 * ROWS, ROWS * IN, 2 * ROWS * IN, ROWS * IN
    before = [*x_half, scales, rows, absolute, outliers, -absolute, 1]
    assert asked[: len(before)] == before
    product, half, y = 4 * ROWS * OUT, 2 * ROWS * OUT, dtype.itemsize * ROWS * OUT
    result = [half] if dtype == FP16 else [half, y, -half]
    after = [1, -1, -outliers, *(-size for size in x_half), product, *result, -product, -rows, -scales]
    assert asked[-len(after) :] == after


def test_a_width_that_is_no_multiple_of_four_is_multiplied_in_float32() -> None:
    with recording() as memory:
        layer, x = eight_bit(BF16, columns=30), on_meta(8, 30, dtype=BF16)
        asked = events(memory, layer, x)
    factors = asked.index(4 * 8 * 30)
    assert asked[factors : factors + 4] == [4 * 8 * 30, 4 * OUT * 30, 4 * 8 * OUT, WORKSPACE]


def test_a_single_row_has_no_columns_set_to_zero() -> None:
    with recording(T4) as memory:
        layer, x = eight_bit(FP16), on_meta(1, IN, dtype=FP16)
        assert events(memory, layer, x).count(1) == 1


@pytest.mark.parametrize(("machine", "workspace"), [(H100, [MIB]), (L4, []), (B200, [])])
def test_8_bit_floats_take_rows_scales_and_the_product_and_in_backward_a_transposed_weight(
    machine: Machine, workspace: list[int]
) -> None:
    with recording(machine) as memory:
        weight = on_meta(OUT, IN, dtype=BF16)
        layer = Fp8Linear(weight, None)
        assert memory.events[1:] == [OUT * IN, 4 * OUT]
        x, grad = on_meta(ROWS, IN, dtype=BF16), on_meta(ROWS, OUT, dtype=BF16)
        asked = events(memory, layer, x)
        assert asked[:3] == [ROWS * IN, 4 * ROWS, 2 * ROWS * OUT]
        assert asked[3 : 3 + len(workspace)] == workspace
        assert sorted(asked[3 + len(workspace) :]) == sorted([-ROWS * IN, -4 * ROWS])
        start = len(memory.events)
        grad_x = layer.input_gradient(grad)
        asked = memory.events[start:]
        taken = [ROWS * OUT, 4 * ROWS, OUT * IN, 4 * IN, 2 * ROWS * IN]
        assert asked[:5] == taken
        assert sorted(asked[5:]) == sorted(-size for size in taken[:-1])
        assert grad_x.shape == (ROWS, IN)
