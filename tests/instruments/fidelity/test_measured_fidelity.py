"""Fidelity in float64 against a direct computation: the base unfrozen, its gradient by autograd."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from torch import Tensor

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.fidelity.adapters import Adapter, adapters_of
from lorafa_prof.instruments.fidelity.fidelity import Fidelity
from lorafa_prof.instruments.fidelity.measure import fidelity_of_adapters, fidelity_of_weights
from lorafa_prof.layers.low_rank_linear import is_conv1d
from lorafa_prof.methods.base import Prepared
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.step import TrainingStep

CPU = torch.device("cpu")


def cell_of(method: str, model: str = "tiny-llama", **settings: Any) -> Cell:
    return tiny_cell(model, method, **{"dtype": "fp64", "adapter_dtype": "fp64", **settings})


def prepared(cell: Cell) -> tuple[Prepared, TrainingStep]:
    """The cell ready for a step, each B drawn, as it is after many steps, and an optimizer with its state."""
    made, step = prepare_step(cell, CPU)
    generator = torch.Generator().manual_seed(5)
    for adapter in adapters_of(made.model):
        adapter.b.data.copy_(torch.randn(adapter.b.shape, generator=generator, dtype=torch.float64) / 10)
    step.run()
    torch.manual_seed(3)  # some models drop out by themselves
    return made, step


def fidelity_of(cell: Cell) -> Fidelity:
    made, step = prepared(cell)
    return fidelity_of_adapters(made.model, step, adapters_of(made.model))


def base_of(adapter: Adapter) -> Any:
    layer: Any = adapter.layer
    return layer.base if hasattr(layer, "base") else layer.base_layer


def full_gradients(cell: Cell, adapters: list[Adapter]) -> dict[str, Tensor]:
    """The gradients [out, in] of W + s B A, by a model without adapters whose weights these are."""
    plain = cell_of("full-ft", cell.model.name, accumulation=cell.accumulation)
    full, step = prepare_step(plain, CPU)
    layers: dict[str, Any] = {}
    for adapter in adapters:
        path = adapter.path.removeprefix("base_model.model.")
        layer: Any = full.model.get_submodule(path)
        change = adapter.scale * adapter.b @ adapter.a
        layer.weight.data = base_of(adapter).weight.data + (change.t() if is_conv1d(layer) else change)
        layers[adapter.path] = layer
    torch.manual_seed(3)
    full.model(**step.inputs).loss.backward()
    return {
        path: layer.weight.grad.t() if is_conv1d(layer) else layer.weight.grad
        for path, layer in layers.items()
    }


def distance(change: Tensor, gradient: Tensor) -> float:
    return float((change - gradient).norm() / gradient.norm())


def cosine(change: Tensor, gradient: Tensor) -> float:
    return float((change * gradient).sum() / change.norm() / gradient.norm())


def stacked(parts: list[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gpt2"])
@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora", "peft-lora-fa"])
def test_plain_steps_and_floors_are_those_of_a_direct_computation(method, model):
    cell = cell_of(method, model)
    made, _ = prepared(cell)
    adapters = adapters_of(made.model)
    gradients = full_gradients(cell, adapters)
    fidelity = fidelity_of(cell)
    assert [weight.path for weight in fidelity.weights] == [adapter.path for adapter in adapters]
    changes: dict[str, list[Tensor]] = {}
    for adapter, weight in zip(adapters, fidelity.weights, strict=True):
        g, a, b, s = gradients[adapter.path], adapter.a.detach(), adapter.b.detach(), adapter.scale
        g_b, g_a = s * g @ a.t(), s * b.t() @ g
        own = torch.linalg.pinv(a) @ a
        others = b @ torch.linalg.pinv(b)
        expected = {
            "lora": s * (g_b @ a + b @ g_a),
            "lora-fa-uncorrected": s * g_b @ a,
            "lora-fa": s * (g_b @ torch.linalg.inv(a @ a.t()) / s**2) @ a,
        }
        floors = {"rows": g @ own, "rows-and-columns": g @ own + others @ g - others @ g @ own}
        for name, change in expected.items():
            assert weight.steps[name].distance == pytest.approx(distance(change, g), rel=1e-9)
            assert weight.steps[name].cosine == pytest.approx(cosine(change, g), rel=1e-9)
            changes.setdefault(name, []).append(change)
        for name, projection in floors.items():
            assert weight.projections[name].distance == pytest.approx(distance(projection, g), rel=1e-9)
            changes.setdefault(name, []).append(projection)
    whole = stacked([gradients[adapter.path] for adapter in adapters])
    rule, space = ("lora-fa", "rows") if method.endswith("fa") else ("lora", "rows-and-columns")
    assert fidelity.rule == rule
    assert fidelity.plain.distance == pytest.approx(distance(stacked(changes[rule]), whole), rel=1e-9)
    assert fidelity.plain.cosine == pytest.approx(cosine(stacked(changes[rule]), whole), rel=1e-9)
    assert fidelity.floor == pytest.approx(distance(stacked(changes[space]), whole), rel=1e-9)


def test_corrected_lora_fa_reaches_its_floor_and_nothing_is_below_it():
    fidelity = fidelity_of(cell_of("lora-fa"))
    assert fidelity.plain.distance == pytest.approx(fidelity.floor, rel=1e-9)
    for weight in fidelity.weights:
        rows, both = weight.projections["rows"], weight.projections["rows-and-columns"]
        assert both.distance <= rows.distance <= weight.steps["lora-fa-uncorrected"].scaled_distance
        assert both.distance <= weight.steps["lora"].scaled_distance


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_the_optimizers_step_is_the_change_of_w_that_it_makes_with_its_state(method, optimizer):
    cell = cell_of(method, optimizer=optimizer, accumulation=2, max_grad_norm=0.1)
    made, step = prepared(cell)
    adapters = adapters_of(made.model)
    gradients = full_gradients(cell, adapters)
    before = [adapter.scale * adapter.b.detach() @ adapter.a.detach() for adapter in adapters]
    step.run()
    fidelity = fidelity_of(cell)
    for adapter, w, weight in zip(adapters, before, fidelity.weights, strict=True):
        change = w - adapter.scale * adapter.b.detach() @ adapter.a.detach()
        # Of W, and so of its change, 1e-16 are lost in the direct computation.
        expected = cosine(change, gradients[adapter.path])
        assert weight.steps["optimizer"].cosine == pytest.approx(expected, rel=1e-6)
        assert weight.steps["optimizer"].scaled_distance == pytest.approx((1 - expected**2) ** 0.5, rel=1e-6)


def test_dropout_drops_the_same_as_the_optimizer_steps_and_as_gradients_are_looked_at():
    cell = cell_of("lora-fa", optimizer="sgd", dropout=0.5)
    seen = []
    for _ in range(2):
        made, step = prepared(cell)
        step.run((watch := _GradientsOfB(adapters_of(made.model)),))
        torch.manual_seed(1)
        fidelity_of_adapters(made.model, replace_observed(step, watch), adapters_of(made.model))
        seen.append(watch.found)
    assert len(seen[0]) == 3
    assert all(torch.equal(one, other) for one, other in zip(seen[0][1], seen[0][2], strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(seen[0][0], seen[0][1], strict=True))


class _GradientsOfB:
    """An observer that copies the gradients of all B at the end of backward."""

    def __init__(self, adapters: list[Adapter]) -> None:
        self._adapters = adapters
        self.found: list[list[Tensor]] = []

    def phase_started(self, phase: str) -> None:
        if phase == "optimizer":
            self.found.append([adapter.b.grad.clone() for adapter in self._adapters])  # type: ignore[union-attr]

    def phase_ended(self, phase: str) -> None:
        pass


def replace_observed(step: TrainingStep, observer: _GradientsOfB) -> Any:
    """The step, which `observer` sees beside those who are given."""

    class Observed:
        optimizer = step.optimizer

        @staticmethod
        def run(observers: tuple[Any, ...] = ()) -> None:
            step.run((*observers, observer))

    return Observed()


@pytest.mark.parametrize("checkpointing", ["full", "full-reentrant", "mlp"])
def test_recomputation_changes_nothing(checkpointing):
    plain = fidelity_of(cell_of("lora-fa"))
    recomputed = fidelity_of(cell_of("lora-fa", checkpointing=checkpointing))
    assert recomputed.plain.cosine == pytest.approx(plain.plain.cosine, rel=1e-9)
    assert len(recomputed.weights) == len(plain.weights)


def test_rows_of_a_that_depend_on_each_other_span_a_smaller_space():
    made, step = prepared(cell_of("peft-lora-fa"))
    adapters = adapters_of(made.model)
    for adapter in adapters:
        adapter.a.data[1] = adapter.a.data[0]
    fidelity = fidelity_of_adapters(made.model, step, adapters)
    assert fidelity.plain.distance == pytest.approx(fidelity.floor, rel=1e-6)


def test_gradients_that_are_not_finite_are_not_told():
    made, step = prepared(cell_of("lora"))
    adapters = adapters_of(made.model)
    adapters[0].b.data[0, 0] = float("nan")
    fidelity = fidelity_of_adapters(made.model, step, adapters)
    assert (fidelity.plain.distance, fidelity.plain.cosine, fidelity.floor) == (None, None, None)
    json.dumps(fidelity.as_record(), allow_nan=False)


def test_nothing_stays_on_the_model():
    made, step = prepared(cell_of("lora-fa"))
    fidelity_of_adapters(made.model, step, adapters_of(made.model))
    assert not any(module._forward_hooks for module in made.model.modules())


def test_a_weight_that_trains_whole_is_at_no_distance_and_its_optimizers_change_is_its_own():
    cell = cell_of("full-ft")
    made, step = prepared(cell)
    other, other_step = prepared(cell)
    gradients = _gradients_at_backwards_end(other.model, other_step)
    before = {name: param.detach().clone() for name, param in other.model.named_parameters()}
    other_step.run()
    fidelity = fidelity_of_weights(made.model, step)
    assert (fidelity.plain.distance, fidelity.floor) == (0.0, 0.0)
    assert fidelity.plain.cosine == pytest.approx(1.0)
    after = dict(other.model.named_parameters())
    assert len(fidelity.weights) == 15
    for weight in fidelity.weights:
        name = f"{weight.path}.weight"
        expected = cosine(before[name] - after[name].detach(), gradients[name])
        assert weight.steps["optimizer"].cosine == pytest.approx(expected, rel=1e-9)
    for name, param in made.model.named_parameters():
        assert torch.equal(param, after[name]), name


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-foreach", "sgd-momentum", "adafactor"])
@pytest.mark.parametrize("max_grad_norm", [None, 0.1])
def test_weight_by_weight_it_is_the_same_step_scaled_and_clipped_too(max_grad_norm, optimizer):
    cell = cell_of("full-ft", dtype="fp32", autocast="fp16", max_grad_norm=max_grad_norm, optimizer=optimizer)
    made, step = prepared(cell)
    other, other_step = prepared(cell)
    fidelity_of_weights(made.model, step)
    other_step.run()
    after = dict(other.model.named_parameters())
    for name, param in made.model.named_parameters():
        torch.testing.assert_close(param, after[name], rtol=1e-6, atol=1e-8)


def _gradients_at_backwards_end(model: Any, step: TrainingStep) -> dict[str, Tensor]:
    model(**step.inputs).loss.backward()
    gradients = {name: param.grad for name, param in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return gradients
