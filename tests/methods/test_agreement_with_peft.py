"""LoRA and LoRA-FA train as PEFT's do: same weights, same data, same losses, gradients and updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import peft.optimizers.lorafa
import pytest
import torch
from tiny_training import FAMILIES, batch_of, prepare, resolve
from torch import Tensor
from torch.optim import Optimizer

from lorafa_prof.methods.base import Prepared
from lorafa_prof.models.resolve import ResolvedModel

STEPS = 5
LEARNING_RATE = 1e-2  # large, so that a wrong update shows in the next loss
PEFT_EPS = 1e-6  # of its LoRA-FA AdamW
SINGLE = 1e-6  # transformers returns losses rounded to float32, also of float64 models

# PEFT's pseudo-inverse adds 1e-8 to the diagonal of A Aᵀ, which is about 1/3; else there is only rounding.
FLOAT64_TOLERANCE = {"lora": 1e-12, "lora-fa": 1e-6}


@dataclass
class Trace:
    """What a training run did: losses, and gradients and weights by their names in our model."""

    losses: list[float]
    gradients: list[dict[str, Tensor]]
    weights: dict[str, Tensor]


def our_name(name: str) -> str:
    """The name in our model of a parameter of PEFT's."""
    return (
        name.removeprefix("base_model.model.")
        .replace(".modules_to_save.default", "")
        .replace(".default.weight", "")
        .replace(".base_layer.", ".base.")
    )


def train(prepared: Prepared, inputs: dict[str, Tensor], rename: Callable[[str], str] = str) -> Trace:
    trained = {rename(n): p for n, p in prepared.model.named_parameters() if p.requires_grad}
    trace = Trace([], [], trained)  # type: ignore[arg-type]
    for _ in range(STEPS):
        loss = prepared.model(**inputs).loss
        loss.backward()
        trace.losses.append(loss.item())
        trace.gradients.append({name: p.grad.clone() for name, p in trained.items()})  # type: ignore[union-attr]
        prepared.optimizer.step()
        prepared.optimizer.zero_grad()
    return trace


def prepare_pair(
    resolved: ResolvedModel, method: str, options: dict[str, Any], **setting: Any
) -> tuple[Prepared, Prepared]:
    """Ours and PEFT's with the same weights and the same A and B, neither of them zero."""
    ours = prepare(resolved, method, options, **setting)
    peers = prepare(resolved, f"peft-{method}", options, **setting)
    mine = dict(ours.model.named_parameters())
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in mine.items():
            if name.endswith("lora_B"):
                parameter.normal_(std=0.05)
        copied = set()
        for name, parameter in peers.model.named_parameters():
            if ".original_module." not in name:  # the untrained head, which PEFT keeps beside its copy
                source = mine[our_name(name)]
                parameter.copy_(source)
                copied.add(our_name(name))
    assert copied == mine.keys()
    return ours, peers


def align(ours: Optimizer, peers: Optimizer, method: str) -> None:
    """Give both optimizers the same hyperparameters."""
    for optimizer in (ours, peers):
        for group in optimizer.param_groups:
            group.update(lr=LEARNING_RATE, weight_decay=0.0)
    if method == "lora-fa":
        ours.register_step_pre_hook(ScheduleEps())


class ScheduleEps:
    """Sets eps as PEFT's LoRA-FA AdamW has it: added to √v before the correction of its bias, not after."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.steps += 1
        for group in optimizer.param_groups:
            group["eps"] = PEFT_EPS / math.sqrt(1 - group["betas"][1] ** self.steps)


def assert_close(ours: dict[str, Tensor], peers: dict[str, Tensor], tolerance: float) -> None:
    """Each tensor to within `tolerance` of its norm, and what rounding leaves where numbers near 1 cancel."""
    assert ours.keys() == peers.keys()
    for name, theirs in peers.items():
        error = (ours[name] - theirs).norm()
        assert error < tolerance * theirs.norm() + 2 * torch.finfo(theirs.dtype).eps, name


def assert_agree(ours: Trace, peers: Trace, tolerance: float) -> None:
    assert ours.losses == pytest.approx(peers.losses, rel=tolerance + SINGLE)
    assert peers.losses[-1] < peers.losses[0]
    for mine, theirs in zip(ours.gradients, peers.gradients, strict=True):
        assert_close(mine, theirs, tolerance)
    assert_close(ours.weights, peers.weights, tolerance)


@pytest.fixture
def exact_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep PEFT's LoRA-FA from computing g (A Aᵀ)⁻¹ in bf16, which it does wherever bf16 can be had.

    That is a rounding of 2^-8, which would hide any smaller difference between the two.
    """
    monkeypatch.setattr(peft.optimizers.lorafa, "is_bf16_available", lambda: False)


def train_pair(name: str, method: str, options: dict[str, Any], dtype: torch.dtype) -> tuple[Trace, Trace]:
    resolved = resolve(name, dropout=False)
    ours, peers = prepare_pair(resolved, method, options, dtype=dtype)
    align(ours.optimizer, peers.optimizer, method)
    inputs = batch_of(resolved)
    return train(ours, inputs), train(peers, inputs, our_name)


OPTIONS = {"rank": 4, "alpha": 6.0, "targets": "all-linear"}


@pytest.mark.usefixtures("exact_product")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
@pytest.mark.parametrize("name", FAMILIES)
def test_losses_gradients_and_updates_agree(name: str, method: str, dtype: torch.dtype) -> None:
    tolerance = FLOAT64_TOLERANCE[method] if dtype == torch.float64 else 1e-4
    assert_agree(*train_pair(name, method, OPTIONS, dtype), tolerance)


@pytest.mark.usefixtures("exact_product")
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
@pytest.mark.parametrize(
    "options",
    [
        {"rank": 4, "alpha": 4.0, "targets": "all-linear"},
        {"rank": 2, "alpha": 16.0, "targets": "q_proj,v_proj"},
        {"rank": 9, "alpha": 5.0, "targets": "attention", "rslora": True},
    ],
    ids=["alpha-is-rank", "two-targets", "rslora"],
)
def test_scalings_agree(method: str, options: dict[str, Any]) -> None:
    assert_agree(*train_pair("tiny-llama", method, options, torch.float64), FLOAT64_TOLERANCE[method])


@pytest.mark.parametrize("name", FAMILIES)
def test_pefts_own_bf16_product_agrees_to_bf16(name: str) -> None:
    """PEFT as it is: fp32 training, but the corrected gradient of every step rounded to bf16."""
    ours, peers = train_pair(name, "lora-fa", OPTIONS, torch.float32)
    assert_close(ours.gradients[0], peers.gradients[0], 1e-4)  # before any correction
    assert ours.losses == pytest.approx(peers.losses, rel=1e-3)
    assert_close(ours.weights, peers.weights, 0.05)
