"""Scaling the loss leaves an update as it would be without, with LoRA-FA's correction and clipping too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_cells import step_of
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.optim.lora_fa import LoraFaCorrection
from lorafa_prof.optim.loss_scaling import LossScaler, check_scalable
from lorafa_prof.step import TrainingStep

CPU = torch.device("cpu")


def _optimizer(name: str, params: list[nn.Parameter]) -> Optimizer:
    if name == "sgd":
        return SGD(params, lr=0.1)
    return AdamW(params, lr=0.1, **{name: True})  # type: ignore[arg-type]


def corrected_step(optimizer: str) -> TrainingStep:
    """A step of LoRA-FA in float64, whose update shows its gradient."""
    prepared, step = step_of("tiny-llama", "lora-fa", dtype="fp64")
    torch.manual_seed(1)
    layers = [module for module in prepared.model.modules() if isinstance(module, LoraFaLinear)]
    with torch.no_grad():
        for layer in layers:
            layer.lora_B.normal_(std=0.05)
    made = _optimizer(optimizer, [p for p in prepared.model.parameters() if p.requires_grad])
    made.register_step_pre_hook(LoraFaCorrection(layers))
    return replace(step, optimizer=made)


def updated(step: TrainingStep, steps: int = 2) -> dict[str, Tensor]:
    for _ in range(steps):
        step.run()
    return {name: value.detach().clone() for name, value in step.model.named_parameters()}


@pytest.mark.parametrize("norm", [None, 1e-3])
@pytest.mark.parametrize("optimizer", ["fused", "foreach", "sgd"])
def test_lora_fa_is_corrected_as_without_a_scale(optimizer: str, norm: float | None) -> None:
    """The fused optimizer takes the scale out after the correction, others before: it is linear."""
    plain = updated(replace(corrected_step(optimizer), max_grad_norm=norm))
    scaled = updated(replace(corrected_step(optimizer), max_grad_norm=norm, scaler=LossScaler(CPU)))
    for name, value in plain.items():
        torch.testing.assert_close(scaled[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["fused", "foreach"])
def test_clipping_sees_gradients_without_the_scale(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def noted(*args: Any, **kwargs: Any) -> Tensor:
        norm = clip(*args, **kwargs)
        norms.append(float(norm))
        return norm

    monkeypatch.setattr("lorafa_prof.optim.clipping.clip_grad_norm_", noted)
    for scaler in (None, LossScaler(CPU)):
        updated(replace(corrected_step(optimizer), max_grad_norm=1.0, scaler=scaler), steps=1)
    assert norms[1] == pytest.approx(norms[0], rel=1e-9)


@pytest.mark.parametrize("norm", [None, 1.0])
@pytest.mark.parametrize("optimizer", ["fused", "foreach", "sgd"])
def test_a_step_with_an_infinite_gradient_is_skipped_and_is_a_step(
    optimizer: str, norm: float | None
) -> None:
    scaler = LossScaler(CPU)
    step = replace(corrected_step(optimizer), max_grad_norm=norm, scaler=scaler)
    before = {name: value.detach().clone() for name, value in step.model.named_parameters()}
    trained = next(p for p in step.model.parameters() if p.requires_grad)
    handle = trained.register_hook(lambda grad: grad * float("inf"))
    after = updated(step, steps=1)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in step.model.parameters())
    assert scaler.get_scale() == 2**15
    handle.remove()
    assert any(not torch.equal(value, before[name]) for name, value in updated(step, steps=1).items())


def test_its_tensors_are_there_at_once() -> None:
    scaler = LossScaler(CPU)
    assert [tensor.item() for tensor in scaler.tensors] == [2**16, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_that_train_in_16_bits_are_refused(dtype: torch.dtype) -> None:
    frozen = nn.Parameter(torch.zeros(2, dtype=dtype), requires_grad=False)
    check_scalable([frozen, nn.Parameter(torch.zeros(2))])
    with pytest.raises(UsageError, match=r"adapter_dtype: fp32.*or autocast: bf16") as raised:
        check_scalable([nn.Parameter(torch.zeros(2, dtype=dtype))])
    assert raised.value.about == "autocast"
