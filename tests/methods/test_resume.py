"""Training that was saved and resumed goes on as if it had not stopped, bit for bit."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from torch import nn

from lorafa_prof.cell import Cell
from lorafa_prof.optim.eight_bit import PAGED, PLAIN
from lorafa_prof.optim.optimizer import OPTIMIZERS
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import TrainingStep

ON_A_CPU = [name for name in OPTIMIZERS if name not in (PLAIN, PAGED)]
CPU = torch.device("cpu")


def step_of(cell: Cell, seed: int) -> TrainingStep:
    """A step of the cell's model, with weights, A's and B's that only the seed decides."""
    step = prepare_step(cell.model_copy(update={"seed": seed}), CPU)[1]
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in step.model.named_parameters():
            if "lora_" in name:
                nn.init.normal_(parameter, std=0.1)
    return step


def saved(step: TrainingStep) -> io.BytesIO:
    """What a training script saves of its model, its optimizer, its loss's scale and random numbers."""
    scale = step.scaler.state_dict() if step.scaler else None
    file = io.BytesIO()
    torch.save((step.model.state_dict(), step.optimizer.state_dict(), scale, torch.get_rng_state()), file)
    file.seek(0)
    return file


def resume(step: TrainingStep, file: io.BytesIO) -> None:
    model, optimizer, scale, random = torch.load(file)
    step.model.load_state_dict(model)
    step.optimizer.load_state_dict(optimizer)
    if step.scaler:
        step.scaler.load_state_dict(scale)
    torch.set_rng_state(random)


def assert_resumes(cell: Cell) -> None:
    step = step_of(cell, seed=1)
    for _ in range(2):
        step.run()
    file = saved(step)
    for _ in range(2):
        step.run()
    # Another process has drawn other weights and another A until it loads those that were saved.
    other = replace(step_of(cell, seed=2), inputs=step.inputs)
    resume(other, file)
    for _ in range(2):
        other.run()
    resumed = other.model.state_dict()
    for name, value in step.model.state_dict().items():
        assert torch.equal(value, resumed[name]), name


@pytest.mark.parametrize("update", ["step", "backward"])
@pytest.mark.parametrize("optimizer", ON_A_CPU)
@pytest.mark.parametrize("method", ["lora-fa", "full-ft"])
def test_with_every_optimizer(method: str, optimizer: str, update: Any) -> None:
    assert_resumes(tiny_cell(method=method, optimizer=optimizer, update=update))


@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.2},
        {"dtype": "bf16"},
        {"dtype": "bf16", "adapter_dtype": "fp32"},
        {"autocast": "fp16", "max_grad_norm": 0.1, "accumulation": 2},
        {"model": "tiny-gpt2"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_with_other_settings(method: str, settings: dict[str, Any]) -> None:
    assert_resumes(tiny_cell(method=method, **settings))
