"""Cells with `kernels: fused-loss` beside the same with eager ones: gradients, bytes, FLOPs, the twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cells import TWIN
from tiny_cells import METHOD_NAMES, TOKENS, observe, tiny_cell
from torch import Tensor, nn

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.devices.sim.honesty import unchecked_operations
from lorafa_prof.errors import ScenarioError
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.on_twin import TwinWatch, make_twin, run_on_twin
from lorafa_prof.running.plan import check_cells
from lorafa_prof.running.prepare import prepare_step
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.step import Phase

HIDDEN, VOCABULARY = 64, 256
FUSED: dict[str, Any] = {"kernels": "fused-loss"}
families = pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2"])
methods = pytest.mark.parametrize("method", METHOD_NAMES)


def eager_keeps(method: str, itemsize: int) -> int:
    """Bytes that only the loss and its linear layer keep for backward."""
    log_probabilities, targets, count = 4 * TOKENS * VOCABULARY, 8 * TOKENS, 4
    input_of_the_head = itemsize * TOKENS * HIDDEN if method == "full-ft" else 0
    return log_probabilities + targets + count + input_of_the_head


def fused_keeps(method: str, itemsize: int) -> int:
    """Bytes of the gradients by the hidden states and, if it trains, by the head's weight."""
    trained = VOCABULARY * HIDDEN if method == "full-ft" else 0
    return itemsize * (TOKENS * HIDDEN + trained)


class GradientsBeforeTheOptimizer:
    """Observer that copies the gradients of a step."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.found: dict[str, Tensor] = {}

    def phase_started(self, phase: Phase) -> None:
        if phase == "optimizer":
            parameters = self.model.named_parameters()
            self.found = {name: p.grad.clone() for name, p in parameters if p.grad is not None}

    def phase_ended(self, phase: Phase) -> None:
        pass


def gradients_of(cell: Cell) -> dict[str, Tensor]:
    """Of its second step: in the first one the B of every adapter is 0."""
    prepared, step = prepare_step(cell, torch.device("cpu"))
    observer = GradientsBeforeTheOptimizer(prepared.model)
    torch.manual_seed(1)  # of GPT-2's dropout
    step.run()
    step.run((observer,))
    return observer.found


@families
@methods
@pytest.mark.parametrize(
    ("checkpointing", "padding", "accumulation"), [("none", 0.0, 1), ("full", 0.5, 1), ("none", 0.5, 2)]
)
def test_gradients_are_those_of_eager_kernels(
    family: str, method: str, checkpointing: str, padding: float, accumulation: int
) -> None:
    settings: dict[str, Any] = {
        "dtype": "fp32",
        "checkpointing": checkpointing,
        "padding": padding,
        "accumulation": accumulation,
    }
    eager = gradients_of(tiny_cell(family, method, **settings))
    fused = gradients_of(tiny_cell(family, method, **settings, **FUSED))
    assert eager.keys() == fused.keys()
    assert any(gradient.abs().max() > 1e-4 for gradient in eager.values())
    for name, gradient in fused.items():
        torch.testing.assert_close(gradient, eager[name], rtol=1e-4, atol=1e-7)


@families
@methods
@pytest.mark.parametrize(("dtype", "itemsize"), [("fp32", 4), ("bf16", 2)])
def test_gradients_are_kept_in_the_place_of_log_probabilities(
    family: str, method: str, dtype: str, itemsize: int
) -> None:
    eager_memory, eager = observe(tiny_cell(family, method, dtype=dtype))
    fused_memory, fused = observe(tiny_cell(family, method, dtype=dtype, **FUSED))
    saved = eager_keeps(method, itemsize) - fused_keeps(method, itemsize)
    assert eager.total_bytes - fused.total_bytes == saved
    assert eager_memory.activation_bytes - fused_memory.activation_bytes == saved
    assert fused.by_kind["logits_loss"] == fused_keeps(method, itemsize)
    others = [kind for kind in eager.by_kind if kind not in ("logits_loss", "linear_input")]
    assert {kind: fused.by_kind[kind] for kind in others} == {kind: eager.by_kind[kind] for kind in others}


def measured(*args: Any, **settings: Any) -> tuple[CellResult, CellResult]:
    """With eager kernels, with the fused loss."""
    eager, fused = (measure_cell(tiny_cell(*args, **settings, **kernels)) for kernels in ({}, FUSED))
    assert eager.row["status"] == fused.row["status"] == "ok"
    return eager, fused


@families
@methods
def test_the_twin_reconciles_and_holds_less_by_the_formula(family: str, method: str) -> None:
    eager, fused = measured(family, method, dtype="bf16", padding=0.5, device=TWIN)
    found = [result.details["reconciliation"] for result in (eager, fused)]
    assert [each["residual_bytes"] for each in found] == [0, 0]
    held = [each["activation_bytes"] - each["slack_bytes"] for each in found]
    assert held[0] - held[1] == eager_keeps(method, 2) - fused_keeps(method, 2)


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
def test_peaks_are_lower_where_the_logits_are_what_is_large(method: str) -> None:
    eager, fused = measured("gpt2", method, dtype="bf16", batch=4, seq=512, device=TWIN)
    for phase in ("forward", "backward"):
        before, after = (result.row[f"peak_{phase}_bytes"] for result in (eager, fused))
        # Log-probabilities in float32 and their gradient, at least.
        assert before - after > 4 * 512 * 50257 * 4


@families
@methods
def test_the_losss_products_move_from_backward_to_forward(family: str, method: str) -> None:
    eager, fused = (result.row for result in measured(family, method, device=TWIN))
    product = 2 * TOKENS * HIDDEN * VOCABULARY
    moved = 2 * product if method == "full-ft" else product
    assert fused["flops_forward"] - eager["flops_forward"] == moved
    assert eager["flops_backward"] - fused["flops_backward"] == moved


@methods
def test_products_belong_to_the_loss(method: str) -> None:
    by_module = measured("tiny-llama", method)[1].details["flops"]["by_module"]
    (path,) = (path for path in by_module if path.endswith("fused_loss"))
    products = 3 if method == "full-ft" else 2
    assert by_module[path] == (products * 2 * TOKENS * HIDDEN * VOCABULARY, 0)


@families
@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_twin_runs_nothing_that_no_gpu_has_shown(family: str, method: str, dtype: str) -> None:
    cell = tiny_cell(family, method, dtype=dtype, padding=0.5, accumulation=2, device=TWIN, **FUSED)
    with make_twin(cell) as twin:
        run_on_twin(cell, twin, TwinWatch())
        assert unchecked_operations(twin) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "tiny-t5"}, "no loss for a T5ForConditionalGeneration"),
        (
            {"method": {"name": "peft", "config": {"peft_type": "LORA", "target_modules": ["lm_head"]}}},
            "leave it out of the adapters' targets",
        ),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    scenario = {"schema": 1, "name": "x", "model": "tiny-llama", "method": "lora", **settings}
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump({**scenario, "kernels": ["eager", "fused-loss"]}, sort_keys=False))
    loaded = load_scenario(file)
    planned = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    with pytest.raises(ScenarioError, match=rf"kernels\[1\]: kernels 'fused-loss' .*{message}"):
        check_cells(loaded, planned)
