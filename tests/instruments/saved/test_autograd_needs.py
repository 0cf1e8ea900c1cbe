"""The reasons that autograd has, read off its graph, are those that calculus has."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lorafa_prof.instruments.memory.storages import storage_key
from lorafa_prof.instruments.saved.needs import Need, needs_of, node_name
from lorafa_prof.instruments.saved.recorder import SavedTensorsRecorder
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear


class Two(nn.Module):
    """y = (x Aᵀ) Bᵀ."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 3, bias=False)
        self.b = nn.Linear(3, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x))  # type: ignore[no-any-return]


def needs(model: nn.Module, loss: Tensor) -> dict[int, tuple[Need, ...]]:
    return needs_of(loss.grad_fn, model, lambda node: "here")


def test_an_input_is_needed_for_the_weight_and_the_weight_for_the_input() -> None:
    model, x = Two(), torch.randn(4, 6)
    found = needs(model, model(x).sum())
    # x gets no gradient, so A is needed for nothing.
    assert found[storage_key(x)] == (Need("here", "Mm", "self", ("a.weight",)),)
    assert storage_key(model.a.weight) not in found
    assert found[storage_key(model.b.weight)] == (Need("here", "Mm", "mat2", ("",)),)


def test_a_frozen_weight_needs_no_input() -> None:
    model, x = Two(), torch.randn(4, 6)
    model.a.requires_grad_(False)
    found = needs(model, model(x).sum())
    assert storage_key(x) not in found
    ((need,),) = [each for each in found.values() if each[0].slot == "self"]
    assert need.gradients_of == ("b.weight",)


def test_what_two_operations_share_has_both_reasons() -> None:
    x = torch.randn(4, requires_grad=True)
    found = needs(nn.Module(), (F.silu(x) * x).sum())
    assert {(need.op, need.slot) for need in found[storage_key(x)]} == {("Silu", "self"), ("Mul", "other")}


def test_a_gradient_is_followed_through_other_shapes_and_types() -> None:
    model, x = Two().to(torch.bfloat16), torch.randn(4, 6)
    y = x @ model.a.weight.float().t()
    assert needs(model, y.sum())[storage_key(x)] == (Need("here", "Mm", "self", ("a.weight",)),)
    y = x @ (2 * model.a.weight.float()).t()
    assert needs(model, y.sum())[storage_key(x)] == (Need("here", "Mm", "self", ("",)),)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layer", [LoraLinear, LoraFaLinear])
def test_our_layers(layer: Any, bias: bool, dropout: float) -> None:
    """LoRA needs x for A's gradient and x Aᵀ for B's; LoRA-FA only the latter; a mask leads back to x."""
    base = nn.Linear(6, 5, bias=bias)
    model = layer(base, rank=2, scale=1.0, dropout=dropout, adapter_dtype=torch.float32)
    x = torch.randn(4, 6, requires_grad=True)
    if layer is LoraFaLinear:
        model.lora_A.requires_grad_(False)
    found = needs(model, model(x).sum())
    weights = {storage_key(parameter) for parameter in model.parameters()}
    told = {
        need.slot: need.gradients_of for key, each in found.items() if key not in weights for need in each
    }
    if layer is LoraLinear:
        expected = {"0": ("lora_A",), "1": ("lora_B",), "2": ("", "lora_A")}
    else:
        expected = {"0": ("lora_B",), "1": ("",)}
    if not dropout:
        expected.popitem()
    assert told == expected


def test_what_checkpointing_put_away_stays_there() -> None:
    model, x = Two(), torch.randn(4, 6, requires_grad=True)
    runs = []

    def region(inputs: Tensor) -> Tensor:
        runs.append(1)
        return F.silu(model(inputs))

    loss = (checkpoint(region, x, use_reentrant=False) ** 2).sum()
    found = needs(model, loss)
    assert {need.op for each in found.values() for need in each} == {"Pow"}
    assert len(runs) == 1
    loss.backward()
    assert len(runs) == 2


def test_under_the_recorder_of_saved_tensors_the_reasons_are_the_same() -> None:
    model, x = Two(), torch.randn(4, 6)
    plain = needs(model, model(x).sum())
    with SavedTensorsRecorder(model, device_type="cpu", before=()) as recorder:
        loss = model(x).sum()
        hooked = needs(model, loss)
        (held,) = [storage for storage, saved in recorder.held() if saved.shape == (4, 3)]
    assert sorted(hooked.values()) == sorted(plain.values())
    assert hooked[int(held._cdata)] == (Need("here", "Mm", "self", ("b.weight",)),)


def test_names_of_nodes() -> None:
    x = torch.randn(3, requires_grad=True)
    assert node_name((x * 2).grad_fn) == "Mul"
    assert node_name(x.view(-1).grad_fn.next_functions[0][0]) == "AccumulateGrad"  # type: ignore[union-attr]
