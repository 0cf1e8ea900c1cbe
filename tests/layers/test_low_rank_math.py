"""LoRA and LoRA-FA layers compute what plain differentiable operations do, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from low_rank_reference import BASES, F64, LAYERS, make_base, make_layer, mask_of_seed, reference
from torch import Tensor

from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear

both = pytest.mark.parametrize("layer_type", LAYERS)
bases = pytest.mark.parametrize("kind", BASES)


def run(layer: Any, x: Tensor) -> dict[str, Tensor | None]:
    """Output and gradients of a layer, for a fixed but irregular upstream gradient."""
    x = x.detach().requires_grad_(x.requires_grad)
    return _collect(layer(x), x, layer.lora_A, layer.lora_B)


def run_reference(layer: Any, x: Tensor, mask: Tensor | None = None) -> dict[str, Tensor | None]:
    x = x.detach().requires_grad_(x.requires_grad)
    a = layer.lora_A.detach().clone().requires_grad_(layer.lora_A.requires_grad)
    b = layer.lora_B.detach().clone().requires_grad_()
    return _collect(reference(layer, x, a, b, mask), x, a, b)


def _collect(y: Tensor, x: Tensor, a: Tensor, b: Tensor) -> dict[str, Tensor | None]:
    (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)).sum().backward()
    return {"y": y.detach(), "x": x.grad, "A": a.grad, "B": b.grad}


def assert_same(
    got: dict[str, Tensor | None], expected: dict[str, Tensor | None], **tolerance: float
) -> None:
    for what, value in expected.items():
        if value is None:
            assert got[what] is None, what
        else:
            torch.testing.assert_close(
                got[what], value, msg=lambda text, what=what: f"{what}: {text}", **tolerance
            )


@both
@bases
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("x_trains", [True, False], ids=["x-grad", "x-no-grad"])
def test_output_and_gradients_are_those_of_plain_operations(
    layer_type: Any, kind: str, dropout: float, x_trains: bool
) -> None:
    layer = make_layer(layer_type, kind=kind, dropout=dropout)
    x = torch.randn(2, 5, 12, dtype=F64, requires_grad=x_trains)
    mask = mask_of_seed(7, x, dropout) if dropout else None
    torch.manual_seed(7)
    got = run(layer, x)
    assert_same(got, run_reference(layer, x, mask))
    assert (got["A"] is None) == (layer_type is LoraFaLinear)


@given(
    n_in=st.integers(1, 17),
    n_out=st.integers(1, 17),
    rank=st.integers(1, 17),
    leading=st.lists(st.integers(1, 4), max_size=3),
    scale=st.floats(0.01, 50),
    kind=st.sampled_from(BASES),
    layer_type=st.sampled_from(LAYERS),
    contiguous=st.booleans(),
)
@settings(max_examples=150)
def test_any_shape_rank_and_scale(
    n_in: int,
    n_out: int,
    rank: int,
    leading: list[int],
    scale: float,
    kind: str,
    layer_type: Any,
    contiguous: bool,
) -> None:
    torch.manual_seed(0)
    layer = make_layer(layer_type, kind=kind, shape=(n_in, n_out), rank=rank, scale=scale)
    x = (
        torch.randn(*leading, n_in, dtype=F64)
        if contiguous
        else torch.randn(n_in, *leading, dtype=F64).movedim(0, -1)
    )
    assert_same(run(layer, x.requires_grad_()), run_reference(layer, x))


@both
@bases
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradcheck(layer_type: Any, kind: str, dropout: float) -> None:
    layer = make_layer(layer_type, kind=kind, shape=(4, 3), rank=2, dropout=dropout)
    x = torch.randn(3, 4, dtype=F64, requires_grad=True)
    trained = [x, layer.lora_B] + ([layer.lora_A] if layer_type is LoraLinear else [])

    def output(*_: Tensor) -> Tensor:  # gradcheck perturbs its inputs in place, which the layer holds
        torch.manual_seed(3)
        y: Tensor = layer(x)
        return y

    assert torch.autograd.gradcheck(output, trained)


@both
@bases
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_wide_adapters_on_a_narrow_base_get_gradients_of_their_own_type(
    layer_type: Any, kind: str, dropout: float
) -> None:
    layer = make_layer(
        layer_type, kind=kind, dropout=dropout, dtype=torch.bfloat16, adapter_dtype=torch.float32
    )
    x = torch.randn(2, 5, 12, dtype=torch.bfloat16, requires_grad=True)
    mask = mask_of_seed(7, x, dropout) if dropout else None
    torch.manual_seed(7)
    got = run(layer, x)
    narrow = {"y": torch.bfloat16, "x": torch.bfloat16, "A": torch.float32, "B": torch.float32}
    assert {what: value.dtype for what, value in got.items() if value is not None} == {
        what: dtype for what, dtype in narrow.items() if got[what] is not None
    }
    exact = run_reference(layer.double(), x.double().detach().requires_grad_(), mask)
    for what, value in exact.items():
        if value is not None:
            error = (got[what].double() - value).norm() / value.norm()  # type: ignore[union-attr]
            assert error < 0.02, what  # bf16 has 8 bits


@both
def test_dropout_is_off_outside_of_training(layer_type: Any) -> None:
    layer = make_layer(layer_type, dropout=0.4).eval()
    x = torch.randn(4, 12, dtype=F64)
    torch.testing.assert_close(layer(x), reference(layer, x, layer.lora_A, layer.lora_B))


@both
@bases
def test_a_new_layer_starts_as_its_base_and_trains_no_weight_of_it(layer_type: Any, kind: str) -> None:
    base = make_base(kind, 12, 10)
    layer = layer_type(base, rank=3, scale=2.0, dropout=0.0, adapter_dtype=F64)
    x = torch.randn(4, 12, dtype=F64)
    torch.testing.assert_close(layer(x), base(x))
    trained = {name for name, parameter in layer.named_parameters() if parameter.requires_grad}
    assert trained == ({"lora_B"} if layer_type is LoraFaLinear else {"lora_A", "lora_B"})
    # PEFT's draw: uniform within 1/sqrt(in).
    assert 0 < layer.lora_A.abs().max() <= 12**-0.5
