"""Layers that are compiled: the same losses and gradients, in as few graphs as there are kinds of layers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partialmethod
from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES, step_of, tiny_cell
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.compiled import compile_layers, noting_compilation
from lorafa_prof.results.measured import Measured
from lorafa_prof.running.on_cpu import measure_on_cpu
from lorafa_prof.step import PhaseTracker

dynamo = pytest.importorskip("torch._dynamo")


@pytest.fixture(autouse=True)
def traced_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Traces layers, and makes no code of their graphs: a compiler of C++ would take 20 s."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    dynamo.reset()
    dynamo.utils.counters.clear()
    with dynamo.config.patch(recompile_limit=8, fail_on_recompile_limit_hit=False):
        yield
    dynamo.reset()


def graphs() -> int:
    return int(dynamo.utils.counters["stats"]["unique_graphs"])


def gradients_of(model: nn.Module, inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
    loss = model(**inputs).loss
    loss.backward()
    return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("method", ["full-ft", "lora-fa", "peft-lora"])
def test_losses_and_gradients_are_the_same(method: str) -> None:
    prepared, step = step_of("tiny-llama", method)
    compiled = copy.deepcopy(prepared.model)
    compile_layers(compiled)
    assert list(compiled.state_dict()) == list(prepared.model.state_dict())
    loss, gradients = gradients_of(compiled, step.inputs)
    expected, expected_gradients = gradients_of(prepared.model, step.inputs)
    assert graphs() > 0
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_layers(family: str) -> None:
    prepared, _ = step_of(family, "full-ft", device="meta")
    compile_layers(prepared.model)
    compiled = [name for name, module in prepared.model.named_modules() if module._compiled_call_impl]
    assert len(compiled) == (4 if family == "tiny-t5" else 2)


def test_a_model_without_layers_is_one_line() -> None:
    with pytest.raises(UsageError, match="finds no layers in a Linear; eager runs everywhere") as caught:
        compile_layers(nn.Linear(2, 2))
    assert caught.value.about == "kernels"


def test_layers_past_the_limit_are_an_error_and_not_eager() -> None:
    model = step_of("tiny-llama", "full-ft")[0].model
    compile_layers(model)
    dynamo.config.recompile_limit = 1
    model(input_ids=torch.ones(1, 8, dtype=torch.int64))
    with pytest.raises(Exception, match="recompile_limit"):
        model(input_ids=torch.ones(1, 9, dtype=torch.int64))


def test_what_is_compiled_only_while_it_is_measured_is_noted() -> None:
    prepared, step = step_of("tiny-llama", "full-ft")
    compile_layers(prepared.model)
    notes: list[str] = []
    with noting_compilation(notes):
        step.run()
    assert notes == ["1 graph compiled while it was measured: set more steps.warmup"]
    notes.clear()
    with noting_compilation(notes):
        step.run()
    assert notes == []


def test_what_falls_apart_is_noted() -> None:
    prepared, step = step_of("tiny-llama", "full-ft")
    mlp: Any = prepared.model.get_submodule("model.layers.0.mlp")
    forward = mlp.forward

    def broken(x: Tensor) -> Tensor:
        dynamo.graph_break()
        result: Tensor = forward(x)
        return result

    mlp.forward = broken
    compile_layers(prepared.model)
    step.run()
    notes: list[str] = []
    with noting_compilation(notes):
        step.run()
    (note,) = [note for note in notes if "several graphs" in note]
    assert "\n" not in note


def test_of_a_cell_on_the_cpu_memory_and_saved_tensors_are_unknown() -> None:
    """Under the dispatch modes that follow them PyTorch would run layers as they are, and not say so."""
    measured = Measured()
    measure_on_cpu(tiny_cell(method="full-ft", kernels="compile"), measured, PhaseTracker())
    assert measured.memory is measured.saved is None
    assert {"memory", "saved"} <= set(measured.unavailable)
    assert [note for note in measured.notes if "dispatch mode" in note] == [
        measured.unavailable["memory"],
        measured.unavailable["saved"],
    ]
    assert measured.times is not None
    assert measured.flops is not None
    eager = Measured()
    measure_on_cpu(tiny_cell(method="full-ft"), eager, PhaseTracker())
    assert eager.flops is not None
    assert measured.flops.by_phase == eager.flops.by_phase
