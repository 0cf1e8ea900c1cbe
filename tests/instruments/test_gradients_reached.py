"""Parameters that should train and get no gradient are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import TWIN, make_cell
from small_configs import small, write_config
from torch import nn

from lorafa_prof.instruments.gradients_reached import GradientsReached
from lorafa_prof.methods.base import METHODS, Prepared
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.running.measure import measure_cell


class Net(nn.Module):
    """Layers of which only the first is used."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(2, 2)
        self.layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))


def notes_after_backward(update: Any, optimizer: str, *, reach: bool = True) -> list[str]:
    net, notes = Net(), list[str]()
    prepared = Prepared(net, make_optimizer(optimizer, net.parameters(), update))
    observer = GradientsReached(prepared, notes)
    for _ in range(2):
        observer.phase_started("backward")
        if reach:
            net.used(torch.ones(1, 2)).sum().backward()
        observer.phase_ended("backward")
        prepared.optimizer.step()
        prepared.optimizer.zero_grad()
    assert observer.prepared is None
    return notes


@pytest.mark.parametrize("update", ["step", "backward"])
def test_they_are_named_once_those_of_all_layers_as_one(update: str) -> None:
    assert notes_after_backward(update, "adamw-loop") == [
        "no gradient comes to 3 parameters that should train: layers.*.weight (3)"
    ]


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert notes_after_backward("backward", "sgd") == []
    assert notes_after_backward("step", "sgd", reach=False) == []


@pytest.mark.parametrize("device", ["cpu", TWIN])
def test_a_row_says_that_pefts_adapter_has_no_effect(tmp_path: Path, device: str) -> None:
    """Jamba multiplies by the weight of its dt_proj itself."""
    options = METHODS["peft-lora"].options.model_validate({"rank": 4, "targets": "dt_proj,in_proj"})
    cell = make_cell(
        "peft-lora",
        model=write_config(small("jamba"), tmp_path),
        options=options.model_dump(mode="json"),
        device=device,
    )
    message = str(measure_cell(cell).row["message"])
    assert "no gradient comes to 2 parameters that should train: " in message
    assert "layers.*.mamba.dt_proj.lora_A.default.weight" in message
