"""A frozen layer in 8-bit floats, on the CPU and on shapes: its arithmetic, what it holds and refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear
from lorafa_prof.layers.quantized import fp8_products
from lorafa_prof.layers.quantized.fp8 import Fp8Linear
from lorafa_prof.layers.quantized.fp8_products import FP8, LARGEST, quantized_rows
from lorafa_prof.layers.quantized.state import is_quantized, number_of_weights

#: e4m3 has three bits of mantissa, so a number is off by 2⁻⁴ at most, and by 2.6 % in the mean of squares; a
#: product of two such matrices is off by that times √2.
OF_ONE, OF_PRODUCT = 0.03, 0.045
BF16, FP32 = torch.bfloat16, torch.float32


def relative(ours: Tensor, exact: Tensor) -> float:
    return float((ours.double() - exact.double()).norm() / exact.double().norm())


def layer_of(dtype: torch.dtype, *, bias: bool = True) -> tuple[Fp8Linear, Tensor]:
    torch.manual_seed(0)
    # Rows of very different size: each has a scale of its own.
    weight = torch.randn(96, 64).mul_(torch.logspace(-4, 1, 96).unsqueeze(1)).to(dtype)
    parameter = nn.Parameter(torch.randn(96, dtype=dtype), requires_grad=False) if bias else None
    return Fp8Linear(weight.clone(), parameter), weight


def test_rows_are_as_wide_as_eight_bits_and_zeros_stay_zeros() -> None:
    x = torch.randn(7, 32, dtype=torch.float64) * torch.logspace(-12, 6, 7, dtype=torch.float64)[:, None]
    x[3] = 0.0
    rows, scale = quantized_rows(x.float())
    assert rows.dtype == FP8
    back = rows.double() * scale.double()[:, None]
    for number in range(7):
        if number != 3:
            assert rows[number].float().abs().max() == LARGEST
            assert relative(back[number], x[number]) < OF_ONE
    assert back[3].abs().max() == 0.0


def test_a_factor_of_columns_is_in_before_the_scale_is_found() -> None:
    x, factor = torch.randn(5, 32), torch.logspace(-3, 3, 32)
    rows, scale = quantized_rows(x.t().contiguous().t(), factor)
    expected, expected_scale = quantized_rows(x * factor)
    assert torch.equal(scale, expected_scale)
    assert torch.equal(rows.float(), expected.float())


@pytest.mark.parametrize("dtype", [BF16, FP32])
@pytest.mark.parametrize("bias", [False, True])
def test_product_and_input_gradient_are_those_of_the_dense_weight(dtype: torch.dtype, bias: bool) -> None:
    layer, weight = layer_of(dtype, bias=bias)
    x = torch.randn(3, 5, 64, dtype=dtype, requires_grad=True)
    y = layer(x)
    exact = x.detach().double() @ weight.double().t()
    ours = y.detach().double()
    assert y.dtype == dtype
    if bias:
        assert relative(ours - layer.bias.double(), exact) < OF_PRODUCT
    else:
        columns = ours.flatten(0, 1).t(), exact.flatten(0, 1).t()
        assert max(map(relative, *columns)) < 2 * OF_PRODUCT
    grad = torch.randn_like(y)
    y.backward(grad)
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert relative(x.grad, grad.double() @ weight.double()) < OF_PRODUCT


def test_arithmetic_is_that_of_the_quantized_numbers_and_nothing_else_is_lost() -> None:
    """By hand, in 64 bits: what is rounded to 8 bits is x, W and, with W's scales in it, the gradient."""
    layer, weight = layer_of(FP32, bias=False)
    x, grad = torch.randn(9, 64), torch.randn(9, 96)

    def back(matrix: Tensor) -> Tensor:
        peak = matrix.abs().amax(1, keepdim=True) / LARGEST
        return (matrix / peak).to(FP8).double() * peak.double()

    expected = back(x) @ back(weight).t()
    torch.testing.assert_close(layer.product(x, None).double(), expected, rtol=1e-5, atol=1e-5)
    scale = weight.abs().amax(1) / LARGEST
    rounded = (weight / scale[:, None]).to(FP8).double()
    expected = back(grad * scale) @ rounded
    torch.testing.assert_close(layer.input_gradient(grad).double(), expected, rtol=1e-5, atol=1e-5)


def test_under_autocast_it_computes_in_its_type() -> None:
    layer, _ = layer_of(FP32)
    x = torch.randn(4, 64)
    with torch.autocast("cpu", dtype=BF16):
        y = layer(x)
    assert y.dtype == BF16
    torch.testing.assert_close(y, layer(x.to(BF16)), rtol=0, atol=0)


@pytest.mark.parametrize("adapted", [LoraLinear, LoraFaLinear])
@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_beside_an_adapter_gradients_are_near_those_of_a_dense_base(
    adapted: type, dtype: torch.dtype
) -> None:
    layer, weight = layer_of(dtype, bias=False)
    dense = nn.Linear(64, 96, bias=False, dtype=dtype)
    dense.weight.data.copy_(weight)
    gradients = []
    for base in (dense, layer):
        torch.manual_seed(1)
        module = adapted(base, rank=4, scale=2.0, dropout=0.0, adapter_dtype=dtype)
        nn.init.normal_(module.lora_B, std=0.1)
        x, grad = torch.randn(6, 64, dtype=dtype, requires_grad=True), torch.randn(6, 96, dtype=dtype)
        module(x).backward(grad)
        gradients.append([x.grad, module.lora_B.grad, module.lora_A.grad])
    for ours, exact in zip(*reversed(gradients), strict=True):
        if exact is not None:
            assert relative(ours, exact) < OF_PRODUCT
    # What a layer's own adapter gets does not pass through its weight.
    assert torch.equal(gradients[0][1], gradients[1][1])


def test_it_is_saved_and_loaded_bit_by_bit() -> None:
    saved, _ = layer_of(BF16)
    torch.manual_seed(5)
    other = Fp8Linear(torch.randn(96, 64, dtype=BF16), nn.Parameter(torch.zeros(96, dtype=BF16)))
    assert set(saved.state_dict()) == {"weight", "scale", "bias"}
    other.load_state_dict(saved.state_dict())
    x = torch.randn(4, 64, dtype=BF16)
    assert torch.equal(saved(x), other(x))


def test_it_counts_as_quantized_and_has_all_its_weights() -> None:
    layer, _ = layer_of(BF16)
    assert is_quantized(layer)
    assert number_of_weights(layer.weight) == 96 * 64
    assert not layer.weight.requires_grad


def test_sides_that_are_no_multiples_of_16_are_refused() -> None:
    with pytest.raises(UsageError, match="has 24 inputs and 32 outputs") as raised:
        Fp8Linear(torch.randn(32, 24), None)
    assert raised.value.about == "quantization"


def test_a_row_that_no_weight_lies_along_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel steps from number to number by one: a gradient may be transposed, or one number."""
    seen = []
    monkeypatch.setattr(fp8_products, "quantize_rows", lambda x, *rest: seen.append(x.stride(1)))
    quantized_rows(torch.randn(8, 4).t())
    quantized_rows(torch.ones(()).expand(4, 8))
    assert seen == [1, 1]


def test_on_a_gpu_it_holds_one_weight_of_a_byte_and_a_transposed_one_while_it_multiplies() -> None:
    """Llama-2-7B's layer from 11008 to 4096 on the twin of an H200."""
    out_features, in_features, rows = 4096, 11008, 2048
    with Twin(GPUS["h200"]) as twin:
        counter = twin.allocator.requested

        def held() -> int:
            return counter.current

        weight = torch.empty(out_features, in_features, dtype=BF16, device="cuda")
        layer = Fp8Linear(weight, None)
        del weight
        own = out_features * in_features + 4 * out_features
        assert held() == own
        x = torch.empty(rows, in_features, dtype=BF16, device="cuda", requires_grad=True)
        before = held()
        y = layer(x)
        after_forward = held()
        grad = torch.empty_like(y)
        y.backward(grad)
        workspaces = 2 * 2**20
        assert after_forward - before == 2 * rows * out_features + workspaces // 2
        assert held() == after_forward + 2 * rows * out_features + 2 * rows * in_features + workspaces // 2
        dense = 2 * out_features * in_features
        assert counter.peak < held() + dense
        del y, grad, x
        assert held() == own + workspaces
