"""After building, every parameter and buffer of a model is on the twin's device and has its memory there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_cells import tiny_cell
from torch import nn

from lorafa_prof.cell import twin_device
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.methods.base import Prepared
from lorafa_prof.running import on_twin
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_step


def _parameter_on_the_host(model: nn.Module) -> None:
    model.register_parameter("gate", nn.Parameter(torch.zeros(3)))


def _buffer_on_meta(model: nn.Module) -> None:
    model.register_buffer("table", torch.empty(3, device="meta"))


def _uncounted(model: nn.Module) -> None:
    with torch.utils._python_dispatch._disable_current_modes():
        from lorafa_prof.devices.sim.device_tensors import DeviceTensors

        model.register_buffer("table", DeviceTensors().bytes(12))


@pytest.mark.parametrize(
    ("add", "name"),
    [
        (_parameter_on_the_host, "'gate' of the model is on cpu"),
        (_buffer_on_meta, "'table' of the model is on meta"),
        (_uncounted, "'table' of the model is on cuda:0"),
    ],
)
def test_what_is_not_on_the_device_is_an_error_that_names_it(
    add: Callable[[nn.Module], None], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_one_more(*args: object) -> tuple[Prepared, object]:
        prepared, step = prepare_step(*args)  # type: ignore[arg-type]
        add(prepared.model)
        return prepared, step

    monkeypatch.setattr(on_twin, "prepare_step", with_one_more)
    with pytest.raises(LorafaProfError, match=name):
        measure_cell(tiny_cell("tiny-llama", "lora", device=twin_device("h100-80gb")))


def test_an_empty_buffer_needs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_an_empty_one(*args: object) -> tuple[Prepared, object]:
        prepared, step = prepare_step(*args)  # type: ignore[arg-type]
        prepared.model.register_buffer("table", torch.empty(0, device="cuda"))
        return prepared, step

    monkeypatch.setattr(on_twin, "prepare_step", with_an_empty_one)
    cell = tiny_cell("tiny-llama", "lora", device=twin_device("h100-80gb"))
    assert measure_cell(cell).row["status"] == "ok"
