"""One training step: its phases, what it leaves behind, what checkpointing does not change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from cells import make_cell
from torch import Tensor, nn

from lorafa_prof.methods.base import METHODS
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import PHASES, Phase, PhaseTracker, TrainingStep

OWN_METHODS = ["full-ft", "lora", "lora-fa"]
FAMILIES = ["tiny-llama", "tiny-gpt2", "tiny-roberta", "tiny-t5"]
methods = pytest.mark.parametrize("method", OWN_METHODS)


def make_step(model: str, method: str, **settings: Any) -> TrainingStep:
    options = METHODS[method].options.model_validate(settings.pop("options", {})).model_dump()
    cell = make_cell(method, model=model, options=options, batch=2, **settings)
    return prepare_step(cell, torch.device("cpu"))[1]


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@dataclass
class Witness:
    """Writes down, at every border of a phase, whether there are gradients and whether weights have moved."""

    model: nn.Module
    told: list[tuple[str, Phase, bool, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def note(self, event: str, phase: Phase) -> None:
        parameters = dict(self.model.named_parameters())
        gradients = any(p.grad is not None for p in parameters.values())
        moved = any(not torch.equal(p, self.before[name]) for name, p in parameters.items())
        self.told.append((event, phase, gradients, moved))

    def phase_started(self, phase: Phase) -> None:
        self.note("started", phase)

    def phase_ended(self, phase: Phase) -> None:
        self.note("ended", phase)


@methods
def test_phases_are_told_in_order_around_what_they_do(method: str) -> None:
    step = make_step("tiny-llama", method)
    witness = Witness(step.model)
    step.run((witness,))
    assert witness.told == [
        ("started", "forward", False, False),
        ("ended", "forward", False, False),
        ("started", "backward", False, False),
        ("ended", "backward", True, False),
        ("started", "optimizer", True, False),
        ("ended", "optimizer", False, True),
    ]
    assert tuple(phase for event, phase, *_ in witness.told if event == "started") == PHASES


@dataclass
class Losses:
    """Takes the loss from the model's output."""

    model: nn.Module
    values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model.register_forward_hook(
            lambda _module, _args, output: self.values.append(output.loss.item())
        )


@methods
@pytest.mark.parametrize("model", FAMILIES)
def test_repeated_steps_lower_the_loss_and_leave_no_gradient(model: str, method: str) -> None:
    step = make_step(model, method, options={} if method == "full-ft" else {"alpha": 32.0})
    step.model.eval()  # without dropout, which is noise here
    for group in step.optimizer.param_groups:
        group["lr"] = 3e-3
    losses = Losses(step.model)
    for _ in range(8):
        step.run()
        assert all(p.grad is None for p in step.model.parameters())
    assert losses.values[-1] < losses.values[0] - 0.01


@methods
def test_observers_change_nothing(method: str) -> None:
    """The same losses and, bit for bit, the same weights, also where dropout draws random numbers."""

    def run(observed: bool) -> tuple[list[float], dict[str, nn.Parameter]]:
        step = make_step("tiny-roberta", method)
        losses = Losses(step.model)
        for _ in range(3):
            step.run((Witness(step.model), PhaseTracker()) if observed else ())
        return losses.values, dict(step.model.named_parameters())

    (bare_losses, bare), (seen_losses, seen) = run(False), run(True)
    assert bare_losses == seen_losses
    assert all(torch.equal(bare[name], seen[name]) for name in bare)


@methods
@pytest.mark.parametrize("model", FAMILIES)
def test_checkpointing_changes_no_gradient(model: str, method: str) -> None:
    """Recomputed layers draw the same dropout, ours and the model's."""

    def gradients(checkpointing: str) -> tuple[dict[str, Tensor | None], int]:
        options = {} if method == "full-ft" else {"dropout": 0.2}
        step = make_step(model, method, checkpointing=checkpointing, options=options)
        saved: list[int] = []
        torch.manual_seed(4)
        with torch.no_grad():
            for name, parameter in step.model.named_parameters():
                if name.endswith("lora_B"):
                    parameter.normal_(std=0.05)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t.numel()), t)[1], lambda t: t):
            loss = step.model(**step.inputs).loss
        loss.backward()
        return {name: p.grad for name, p in trained(step.model).items()}, sum(saved)

    (plain, held), (recomputed, held_less) = gradients("none"), gradients("full")
    assert held_less < held  # it does checkpoint
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient)


def test_the_tracker_remembers_where_a_step_failed() -> None:
    step = make_step("tiny-llama", "lora")
    tracker = PhaseTracker()
    assert tracker.phase == "build"
    next(iter(trained(step.model).values())).register_hook(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        step.run((tracker,))
    assert tracker.phase == "backward"
