"""Weights that are updated in backward: as at the step's end, with no gradient left, and no weight twice."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.in_backward import UpdatesInBackward
from lorafa_prof.optim.lora_fa import LoraFaCorrection

F64 = torch.float64
ALL_OF_A_CPU = ["adamw", "adamw-foreach", "adamw-loop", "sgd", "sgd-momentum", "adafactor"]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 7, dtype=F64), nn.Tanh(), nn.Linear(7, 3, dtype=F64))


def loss_of(model: nn.Module) -> Tensor:
    return model(torch.linspace(-1, 1, 20, dtype=F64).view(4, 5)).pow(2).sum()  # type: ignore[no-any-return]


def in_backward(name: str, model: nn.Module) -> UpdatesInBackward:
    optimizer = make_optimizer(name, model.parameters(), "backward")
    assert isinstance(optimizer, UpdatesInBackward)
    return optimizer


@pytest.mark.parametrize("name", ALL_OF_A_CPU)
def test_weights_and_states_are_those_of_updates_at_the_end(name: str) -> None:
    model = network()
    other = copy.deepcopy(model)
    early, late = in_backward(name, model), make_optimizer(name, other.parameters())
    for _ in range(3):
        loss_of(model).backward()
        assert all(param.grad is None for param in model.parameters())
        early.step()
        loss_of(other).backward()
        late.step()
        late.zero_grad()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert early.state[ours].keys() == late.state[theirs].keys()
        for key, value in early.state[ours].items():
            torch.testing.assert_close(value, late.state[theirs][key], rtol=0, atol=0)


def test_no_two_gradients_live_at_once() -> None:
    model = network()
    optimizer = in_backward("sgd", model)
    with_gradient: list[int] = []
    optimizer.before_update.append(
        lambda _: with_gradient.append(sum(param.grad is not None for param in model.parameters()))
    )
    loss_of(model).backward()
    assert with_gradient == [1, 1, 1, 1]


def test_groups_are_those_that_are_used() -> None:
    model = network()
    before = copy.deepcopy(model)
    optimizer = in_backward("sgd", model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    loss_of(model).backward()
    for ours, theirs in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_correction_of_lora_fa_is_made_before_each_update() -> None:
    layers = nn.Sequential(
        *(
            LoraFaLinear(nn.Linear(6, 6, dtype=F64), rank=2, scale=scale, dropout=0.0, adapter_dtype=F64)
            for scale in (0.5, 3.0)
        )
    )
    for layer in layers:
        layer.base.requires_grad_(False)
        nn.init.normal_(layer.lora_B)
    other = copy.deepcopy(layers)
    corrections = [LoraFaCorrection(model) for model in (layers, other)]  # type: ignore[arg-type]
    early, late = in_backward("adamw", layers), make_optimizer("adamw", other.parameters())
    early.register_step_pre_hook(corrections[0])
    late.register_step_pre_hook(corrections[1])
    x = torch.randn(4, 6, dtype=F64)
    for _ in range(3):
        layers(x).pow(2).sum().backward()
        early.step()
        other(x).pow(2).sum().backward()
        late.step()
        late.zero_grad()
    for ours, theirs in zip(layers, other, strict=True):
        torch.testing.assert_close(ours.lora_B, theirs.lora_B, rtol=0, atol=0)


def test_a_hook_that_is_removed_is_run_no_more() -> None:
    model = network()
    optimizer = in_backward("sgd", model)
    calls: list[Any] = []
    handle = optimizer.register_step_pre_hook(lambda *args: calls.append(args))
    loss_of(model).backward()
    handle.remove()
    optimizer.step()
    loss_of(model).backward()
    assert len(calls) == 4


def test_a_tied_weight_is_updated_once_with_its_whole_gradient() -> None:
    weight = nn.Parameter(torch.ones(3, 3, dtype=F64))
    optimizer = UpdatesInBackward([weight], lambda params: torch.optim.SGD(params, lr=1.0))
    x = torch.ones(1, 3, dtype=F64)
    expected = torch.autograd.grad(((x @ weight) @ weight).sum(), weight)[0]
    ((x @ weight) @ weight).sum().backward()
    optimizer.step()
    torch.testing.assert_close(weight.detach(), 1 - expected)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_weight_whose_gradient_comes_in_parts_is_an_error(reentrant: bool) -> None:
    layer = nn.Linear(3, 3, dtype=F64)
    optimizer = in_backward("sgd", layer)
    x = torch.ones(2, 3, dtype=F64, requires_grad=True)
    for _ in range(2):
        once = checkpoint(layer, x, use_reentrant=reentrant)
        loss = checkpoint(layer, once, use_reentrant=reentrant).sum()
        if not reentrant:
            loss.backward()
            optimizer.step()
    if reentrant:
        with pytest.raises(LorafaProfError, match="several checkpointed layers share"):
            loss.backward()


def test_parameters_do_not_keep_their_optimizer() -> None:
    model = network()
    optimizer = in_backward("sgd", model)
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None
    loss_of(model).backward()
    assert all(param.grad is not None for param in model.parameters())
