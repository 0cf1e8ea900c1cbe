"""The optimizers a scenario can name."""

from __future__ import annotations

import pytest
import torch
from cells import TWIN, make_cell
from torch import nn

from lorafa_prof.cell import Update
from lorafa_prof.errors import UsageError
from lorafa_prof.optim.choices import check_update, make_optimizer
from lorafa_prof.optim.eight_bit import PAGED, PLAIN
from lorafa_prof.optim.optimizer import OPTIMIZERS

ON_A_CPU = [name for name in OPTIMIZERS if name not in (PLAIN, PAGED)]


def parameters(device: str = "cpu") -> list[nn.Parameter]:
    return [
        nn.Parameter(torch.ones(3, device=device)),
        nn.Parameter(torch.ones(3, device=device), requires_grad=False),
    ]


@pytest.mark.parametrize("update", ["step", "backward"])
@pytest.mark.parametrize(
    ("name", "device"), [*((name, "cpu") for name in ON_A_CPU), *((name, "meta") for name in OPTIMIZERS)]
)
def test_only_what_trains_is_optimized(name: str, device: str, update: Update) -> None:
    trained, frozen = parameters(device)
    optimizer = make_optimizer(name, iter([trained, frozen]), update)
    assert [p for group in optimizer.param_groups for p in group["params"]] == [trained]


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("adamw", 2),
        ("adamw-foreach", 2),
        ("adamw-loop", 2),
        ("sgd", 0),
        ("sgd-momentum", 1),
        ("adafactor", 1),
    ],
)
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


@pytest.mark.parametrize(
    ("name", "fused", "foreach"),
    [("adamw", True, None), ("adamw-foreach", None, True), ("adamw-loop", False, False)],
)
def test_the_three_adamw_take_the_kernels_they_are_named_for(
    name: str, fused: bool | None, foreach: bool | None
) -> None:
    defaults = make_optimizer(name, parameters()).defaults
    assert (defaults["fused"], defaults["foreach"]) == (fused, foreach)


def test_an_unknown_optimizer_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown optimizer 'adam'.*did you mean 'adamw'") as caught:
        make_optimizer("adam", parameters())
    assert caught.value.about == "optimizer"


def test_adafactor_is_as_trainer_sets_it() -> None:
    defaults = make_optimizer("adafactor", parameters()).defaults
    assert (defaults["scale_parameter"], defaults["relative_step"], defaults["beta1"]) == (False, False, None)


@pytest.mark.parametrize("name", [PLAIN, PAGED])
def test_8_bit_states_on_a_cpu_are_refused_in_a_cell_and_where_they_are_made(name: str) -> None:
    with pytest.raises(UsageError, match=rf"'{name}' is for a GPU.*optimizer to adamw") as caught:
        check_update(make_cell(optimizer=name, device="cpu"))
    assert caught.value.about == "optimizer"
    with pytest.raises(UsageError, match=rf"'{name}' is for a GPU"):
        make_optimizer(name, parameters())


@pytest.mark.parametrize("name", [PLAIN, PAGED])
def test_only_a_gpu_needs_bitsandbytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorafa_prof.optim.eight_bit.find_spec", lambda _: None)
    check_update(make_cell(optimizer=name, device=TWIN))
    with pytest.raises(UsageError, match=r"not installed: pip install 'lorafa-prof\[gpu\]'; the twin"):
        check_update(make_cell(optimizer=name, device="cuda"))
    monkeypatch.setattr("lorafa_prof.optim.eight_bit.find_spec", lambda _: object())
    check_update(make_cell(optimizer=name, device="cuda"))


def test_8_bit_states_of_weights_that_bitsandbytes_has_no_kernels_for_are_refused() -> None:
    weights = [nn.Parameter(torch.ones(3, device="meta", dtype=torch.float64))]
    with pytest.raises(UsageError, match=r"fp32, bf16 and fp16, and some are float64") as caught:
        make_optimizer(PLAIN, weights)
    assert caught.value.about == "optimizer"


@pytest.mark.parametrize(
    ("setting", "said"), [({"accumulation": 4}, "4 micro-batches"), ({"max_grad_norm": 1.0}, "norm")]
)
def test_updates_in_backward_are_refused_where_they_cannot_be(setting: dict[str, float], said: str) -> None:
    check_update(make_cell(**setting))
    with pytest.raises(UsageError, match=rf"update 'backward' .*{said}.*or update to step") as caught:
        check_update(make_cell(update="backward", **setting))
    assert caught.value.about == "update"
