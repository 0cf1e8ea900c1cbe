"""Micro-batches and clipping: what a step does more than forward, backward and update."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from operations import Operations
from tiny_cells import METHOD_NAMES, step_of
from torch import Tensor, nn
from toy_step import toy_step

from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.optim.lora_fa import correction_matrix
from lorafa_prof.step import Phase, TrainingStep


@dataclass
class Told:
    events: list[tuple[str, Phase]] = field(default_factory=list)

    def phase_started(self, phase: Phase) -> None:
        self.events.append(("started", phase))

    def phase_ended(self, phase: Phase) -> None:
        self.events.append(("ended", phase))


@dataclass
class GradientsAtUpdate:
    """What the optimizer sees, by a hook that runs after the method's own."""

    step: TrainingStep

    def take(self) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def note(*_: Any) -> None:
            for name, parameter in self.step.model.named_parameters():
                if parameter.grad is not None:
                    seen[name] = parameter.grad.clone()

        handle = self.step.optimizer.register_step_pre_hook(note)
        weights = {name: value.clone() for name, value in self.step.model.state_dict().items()}
        self.step.run()
        handle.remove()
        self.step.model.load_state_dict(weights)
        return seen


def stepped(method: str = "lora", **options: Any) -> TrainingStep:
    step = step_of("tiny-llama", method, dtype="fp64", **options)[1]
    with torch.no_grad():
        for name, parameter in step.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return step


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_each_micro_batch_is_told_and_the_optimizer_once(accumulation: int) -> None:
    told = Told()
    replace(toy_step("cpu"), accumulation=accumulation).run((told,))
    phases: list[Phase] = [*(["forward", "backward"] * accumulation), "optimizer"]  # type: ignore[list-item]
    assert told.events == [(event, phase) for phase in phases for event in ("started", "ended")]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_micro_batches_of_the_same_inputs_give_the_gradients_of_one(method: str) -> None:
    step = stepped(method)
    once = GradientsAtUpdate(step).take()
    thrice = GradientsAtUpdate(replace(step, accumulation=3)).take()
    assert once.keys() == thrice.keys() != set()
    for name, gradient in once.items():
        # transformers forms the loss in float32.
        torch.testing.assert_close(thrice[name], gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))


def test_one_micro_batch_divides_nothing_and_no_norm_clips_nothing() -> None:
    plain, bare, step = Operations(), Operations(), toy_step("cpu")
    with plain:
        step.run()
    assert not [name for name in plain.names if "div" in name or "norm" in name]
    with bare:
        loss = step.model(**step.inputs).loss
        loss.backward()
        step.optimizer.step()
        step.optimizer.zero_grad(set_to_none=True)
    assert bare.names == plain.names


def test_clipping_comes_at_the_start_of_the_optimizer_phase() -> None:
    """What trains has the norm asked for when the optimizer sees it, also over micro-batches."""
    step = stepped("lora")
    free = GradientsAtUpdate(step).take()
    norm = float(torch.cat([g.flatten() for g in free.values()]).norm())
    for accumulation in (1, 2):
        clipped = GradientsAtUpdate(replace(step, accumulation=accumulation, max_grad_norm=norm / 4)).take()
        for name, gradient in free.items():
            torch.testing.assert_close(clipped[name], gradient / 4, rtol=1e-4, atol=1e-12)
    loose = GradientsAtUpdate(replace(step, max_grad_norm=norm * 4)).take()
    assert all(torch.equal(loose[name], free[name]) for name in free)


def test_lora_fa_is_clipped_before_it_is_corrected() -> None:
    step = stepped("lora-fa")
    loss: Any = step.model(**step.inputs).loss
    loss.backward()
    layers = {name: layer for name, layer in step.model.named_modules() if isinstance(layer, LoraFaLinear)}
    raw = {name: layer.lora_B.grad.clone() for name, layer in layers.items() if layer.lora_B.grad is not None}
    nn.Module.zero_grad(step.model)
    norm = float(torch.cat([g.flatten() for g in raw.values()]).norm())
    seen = GradientsAtUpdate(replace(step, max_grad_norm=norm / 10)).take()
    assert seen.keys() == {f"{name}.lora_B" for name in layers}
    for name, layer in layers.items():
        expected = raw[name] / 10 @ correction_matrix(layer.lora_A, layer.scale)
        torch.testing.assert_close(seen[f"{name}.lora_B"], expected, rtol=1e-4, atol=1e-10)


def test_shapes_alone_can_be_accumulated_and_clipped() -> None:
    step = replace(toy_step("meta"), accumulation=2, max_grad_norm=1.0)
    step.run()
    assert all(parameter.grad is None for parameter in step.model.parameters())
