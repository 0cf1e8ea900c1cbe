"""The optimizers a scenario can name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.optim.choices import OPTIMIZERS, make_optimizer


def parameters(device: str = "cpu") -> list[nn.Parameter]:
    return [
        nn.Parameter(torch.ones(3, device=device)),
        nn.Parameter(torch.ones(3, device=device), requires_grad=False),
    ]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_only_what_trains_is_optimized(name: str, device: str) -> None:
    trained, frozen = parameters(device)
    optimizer = make_optimizer(name, iter([trained, frozen]))
    assert [p for group in optimizer.param_groups for p in group["params"]] == [trained]


@pytest.mark.parametrize(("name", "states"), [("adamw", 2), ("adamw-foreach", 2), ("sgd", 0)])
def test_each_updates_and_keeps_the_state_it_should(name: str, states: int) -> None:
    trained, frozen = parameters()
    optimizer = make_optimizer(name, [trained, frozen])
    trained.grad = torch.full((3,), 2.0)
    optimizer.step()
    assert (trained < 1).all()
    kept = [
        value for value in optimizer.state[trained].values() if torch.is_tensor(value) and value.numel() == 3
    ]
    assert len(kept) == states


@pytest.mark.parametrize(("name", "fused", "foreach"), [("adamw", True, None), ("adamw-foreach", None, True)])
def test_the_two_adamw_take_the_kernels_they_are_named_for(
    name: str, fused: bool | None, foreach: bool | None
) -> None:
    defaults = make_optimizer(name, parameters()).defaults
    assert (defaults["fused"], defaults["foreach"]) == (fused, foreach)


def test_an_unknown_optimizer_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown optimizer 'adam'.*did you mean 'adamw'") as caught:
        make_optimizer("adam", parameters())
    assert caught.value.about == "optimizer"
