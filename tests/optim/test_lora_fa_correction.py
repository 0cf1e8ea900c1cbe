"""The LoRA-FA gradient correction g ← g (A Aᵀ)⁻¹ / s²."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.eight_bit import PAGED, PLAIN
from lorafa_prof.optim.lora_fa import LoraFaCorrection, correction_matrix
from lorafa_prof.optim.optimizer import OPTIMIZERS

F64 = torch.float64


def make_layer(n_in: int = 8, n_out: int = 6, rank: int = 3, scale: float = 0.5) -> LoraFaLinear:
    layer = LoraFaLinear(
        nn.Linear(n_in, n_out, bias=False, dtype=F64), rank=rank, scale=scale, dropout=0.0, adapter_dtype=F64
    )
    nn.init.normal_(layer.lora_A)
    nn.init.normal_(layer.lora_B)
    return layer


def corrected_gradient(layer: LoraFaLinear) -> Tensor:
    LoraFaCorrection([layer])(make_optimizer("sgd", [layer.lora_B]), (), {})
    assert layer.lora_B.grad is not None
    return layer.lora_B.grad


@given(rank=st.integers(1, 8), extra=st.integers(0, 20), scale=st.floats(0.05, 20))
@settings(max_examples=60)
def test_it_is_the_inverse_of_the_gram_matrix_over_scale_squared(rank: int, extra: int, scale: float) -> None:
    torch.manual_seed(0)
    a = torch.eye(rank, rank + extra, dtype=F64) * 2 + 0.1 * torch.randn(rank, rank + extra, dtype=F64)
    expected = torch.linalg.inv(a @ a.t()) / scale**2
    torch.testing.assert_close(correction_matrix(a, scale), expected, rtol=1e-9, atol=1e-9)


@given(
    n_in=st.integers(4, 12),
    n_out=st.integers(1, 9),
    rank=st.integers(1, 4),
    scale=st.floats(0.1, 10),
    size=st.sampled_from([1e-3, 1e-1, 10.0]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=80)
def test_no_other_step_of_b_changes_the_weight_more_like_full_fine_tuning(
    n_in: int, n_out: int, rank: int, scale: float, size: float, seed: int
) -> None:
    """s · dB A, the change of the weight, is the closest to the full gradient among all dB."""
    torch.manual_seed(seed)
    layer = make_layer(n_in, n_out, rank, scale)
    x = torch.randn(7, n_in, dtype=F64)
    layer(x).pow(2).sum().backward()
    weight = (layer.base.weight + scale * layer.lora_B @ layer.lora_A).detach().requires_grad_()
    (x @ weight.t()).pow(2).sum().backward()

    def distance(step: Tensor) -> Tensor:
        return (scale * step @ layer.lora_A - weight.grad).norm()

    step = corrected_gradient(layer).clone()
    other = torch.randn_like(step) * size * step.norm() / step.numel() ** 0.5
    for worse in (step + other, step - other):  # some step to either side betters what is not the best
        assert distance(worse) > distance(step)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name not in (PLAIN, PAGED)])
def test_every_optimizer_sees_the_corrected_gradients(optimizer: str) -> None:
    layers = nn.ModuleList([make_layer(), make_layer(rank=2, scale=3.0)])
    head = nn.Linear(3, 3, dtype=F64)
    trained = [layers[0].lora_B, layers[1].lora_B, *head.parameters()]
    expected = copy.deepcopy(trained)
    hooked, plain = make_optimizer(optimizer, trained), make_optimizer(optimizer, expected)
    hooked.register_step_pre_hook(LoraFaCorrection(layers))  # type: ignore[arg-type]
    for _ in range(3):
        for ours, theirs in zip(trained, expected, strict=True):
            ours.grad = torch.randn_like(ours)
            theirs.grad = ours.grad.clone()
        for layer, theirs in zip(layers, expected, strict=False):
            theirs.grad = theirs.grad @ torch.linalg.inv(layer.lora_A @ layer.lora_A.t()) / layer.scale**2
        hooked.step()
        plain.step()
    for ours, theirs in zip(trained, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_computed_once_unless_a_is_changed_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Tensor] = []

    def counted(a: Tensor, scale: float) -> Tensor:
        found.append(a)
        return correction_matrix(a, scale)

    monkeypatch.setattr("lorafa_prof.optim.lora_fa.correction_matrix", counted)
    layers = [make_layer(), make_layer()]
    optimizer = make_optimizer("sgd", [layer.lora_B for layer in layers])
    correction = LoraFaCorrection(layers)
    optimizer.register_step_pre_hook(correction)

    def corrected(gradient: Tensor) -> list[Tensor]:
        for layer in layers:
            layer.lora_B.grad = gradient
        optimizer.step()
        return [layer.lora_B.grad for layer in layers]  # type: ignore[misc]

    gradient = torch.randn_like(layers[0].lora_B)
    kept = [tensor.data_ptr() for tensor in correction.tensors]
    before = [corrected(gradient) for _ in range(2)][-1]
    assert len(found) == 2
    layers[1].load_state_dict({**layers[1].state_dict(), "lora_A": layers[0].lora_A})
    after = [corrected(gradient) for _ in range(2)][-1]
    assert len(found) == 3
    assert kept == [tensor.data_ptr() for tensor in correction.tensors]
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1], before[0])
    assert not torch.equal(before[1], before[0])


def test_a_layer_that_got_no_gradient_is_left_alone() -> None:
    layer = make_layer()
    LoraFaCorrection([layer])(make_optimizer("sgd", [layer.lora_B]), (), {})
    assert layer.lora_B.grad is None


@given(rank=st.integers(2, 8), seed=st.integers(0, 2**31), dtype=st.sampled_from([torch.float32, F64]))
@settings(max_examples=60)
def test_dependent_rows_are_an_error_however_their_gram_matrix_rounds(
    rank: int, seed: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(seed)
    a = torch.randn(rank, 64, dtype=dtype)
    correction_matrix(a, 1.0)
    for dependent in (torch.zeros_like(a[0]), a[0], a[:-1].sum(0)):
        a[-1] = dependent
        with pytest.raises(torch.linalg.LinAlgError):
            correction_matrix(a, 1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_matrix_is_rank_by_rank_in_the_type_and_place_of_a(dtype: torch.dtype, device: str) -> None:
    matrix = correction_matrix(torch.eye(3, 8, dtype=dtype, device=device), 0.5)
    assert (matrix.shape, matrix.dtype, matrix.device.type) == ((3, 3), dtype, device)


def test_a_narrow_a_is_inverted_in_float64() -> None:
    a = (torch.eye(4, 64) + 0.2 * torch.randn(4, 64)).bfloat16()
    exact: Any = torch.linalg.inv(a.double() @ a.double().t()) * 4
    torch.testing.assert_close(correction_matrix(a, 0.5), exact.bfloat16(), rtol=0.005, atol=1e-4)
