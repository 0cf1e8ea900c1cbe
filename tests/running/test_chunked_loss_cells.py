"""Cells with `loss: chunked` beside the same with all logits: gradients, bytes on CPU and twin, FLOPs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from cells import TWIN
from running.test_fused_loss_cells import gradients_of
from tiny_cells import METHOD_NAMES, TOKENS, observe, tiny_cell
from torch.testing import assert_close

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.devices.sim.honesty import unchecked_operations
from lorafa_prof.errors import ScenarioError, UsageError
from lorafa_prof.layers import chunked_cross_entropy
from lorafa_prof.running.evaluation_step import check_phase
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.on_twin import TwinWatch, make_twin, run_on_twin
from lorafa_prof.running.plan import check_cells
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

HIDDEN, VOCABULARY = 64, 256
CHUNKED: dict[str, Any] = {"loss": "chunked"}
families = pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2", "tiny-t5"])
methods = pytest.mark.parametrize("method", METHOD_NAMES)


@pytest.fixture(autouse=True)
def small_chunks() -> Iterator[None]:
    """Of 16 tokens, six to a batch."""
    with patch.object(chunked_cross_entropy, "LOGITS_BYTES", 4 * 16 * VOCABULARY):
        yield


@families
@pytest.mark.parametrize("method", ["full-ft", "lora-fa", "peft-lora"])
@pytest.mark.parametrize(
    "settings",
    [
        {"padding": 0.5, "accumulation": 2},
        {"checkpointing": "full", "padding": 0.5},
        {"autocast": "fp16", "max_grad_norm": 1.0},
    ],
    ids=str,
)
def test_gradients_are_those_of_all_logits(family: str, method: str, settings: dict[str, Any]) -> None:
    full = gradients_of(tiny_cell(family, method, dtype="fp32", **settings))
    chunked = gradients_of(tiny_cell(family, method, dtype="fp32", **settings, **CHUNKED))
    assert full.keys() == chunked.keys()
    assert any(gradient.abs().max() > 1e-4 for gradient in full.values())
    # Of the second step: the first is Adam's, in which rounding turns the sign of the smallest gradients.
    rounding = 0.15 if "autocast" in settings else 1e-3
    for name, gradient in chunked.items():
        assert (gradient - full[name]).norm() < rounding * full[name].norm() + 1e-7, name


@pytest.mark.parametrize("kernels", ["eager", "fused-norm"])
def test_packed_documents_and_other_kernels(kernels: str) -> None:
    settings: dict[str, Any] = {"dtype": "fp32", "packing": True, "kernels": kernels}
    full, chunked = (gradients_of(tiny_cell(**settings, loss=loss)) for loss in ("full", "chunked"))
    for name, gradient in chunked.items():
        assert_close(gradient, full[name], rtol=1e-4, atol=1e-7)


@methods
@pytest.mark.parametrize(("dtype", "itemsize"), [("fp32", 4), ("bf16", 2)])
def test_gradients_are_kept_in_the_place_of_log_probabilities(method: str, dtype: str, itemsize: int) -> None:
    full_memory, full = observe(tiny_cell(method=method, dtype=dtype))
    memory, chunked = observe(tiny_cell(method=method, dtype=dtype, **CHUNKED))
    trained = VOCABULARY * HIDDEN if method == "full-ft" else 0
    kept = itemsize * (TOKENS * HIDDEN + trained)
    assert chunked.by_kind["logits_loss"] == kept
    log_probabilities, targets, count = 4 * TOKENS * VOCABULARY, 8 * TOKENS, 4
    input_of_the_head = itemsize * TOKENS * HIDDEN if trained else 0
    less = log_probabilities + targets + count + input_of_the_head - kept
    assert full.total_bytes - chunked.total_bytes == less
    # Held without being saved: the number of tokens that count, until backward divides by it.
    assert full_memory.activation_bytes - memory.activation_bytes == less - 8


@families
@methods
def test_the_twin_counts_what_the_cpu_does(family: str, method: str) -> None:
    settings: dict[str, Any] = {"attention": "eager", "dtype": "fp32", "padding": 0.5, **CHUNKED}
    on_cpu, on_twin = (
        measure_cell(tiny_cell(family, method, device=each, **settings)) for each in ("cpu", TWIN)
    )
    assert on_cpu.row["status"] == on_twin.row["status"] == "ok"
    assert on_cpu.row["loss"] == on_twin.row["loss"] == "chunked"
    same = ("gradients_bytes", "flops_forward", "flops_backward", "flops_step")
    assert {name: on_cpu.row[name] for name in same} == {name: on_twin.row[name] for name in same}
    kinds = [result.details["saved"]["by_kind"]["logits_loss"] for result in (on_cpu, on_twin)]
    assert kinds[0] == kinds[1] > 0
    assert [r.details["reconciliation"]["residual_bytes"] for r in (on_cpu, on_twin)] == [0, 0]


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
def test_products_move_from_backward_to_forward_and_belong_to_the_loss(method: str) -> None:
    full, chunked = (
        measure_cell(tiny_cell(method=method, device=TWIN, loss=loss)) for loss in ("full", "chunked")
    )
    product = 2 * TOKENS * HIDDEN * VOCABULARY
    moved = 2 * product if method == "full-ft" else product
    rows: Any = full.row, chunked.row
    assert rows[1]["flops_forward"] - rows[0]["flops_forward"] == moved
    assert rows[0]["flops_backward"] - rows[1]["flops_backward"] == moved
    assert chunked.details["flops"]["by_module"]["chunked_loss"] == (product + moved, 0)


def test_the_peak_does_not_grow_by_logits() -> None:
    """Four times the tokens cost what the rest of the step costs, and no logits."""
    words = 50257
    with patch.object(chunked_cross_entropy, "LOGITS_BYTES", 4 * 256 * words):
        peaks = {
            (loss, seq): measure_cell(
                tiny_cell(
                    "gpt2", dtype="bf16", batch=1, seq=seq, checkpointing="full", device=TWIN, loss=loss
                )
            ).row["peak_forward_bytes"]
            for loss in ("full", "chunked")
            for seq in (256, 1024)
        }
    grown: dict[str, Any] = {loss: peaks[loss, 1024] - peaks[loss, 256] for loss in ("full", "chunked")}  # type: ignore[operator]
    assert grown["full"] > 768 * words * 8
    # What goes into each of 12 layers, into the last norm and the loss, and the gradient.
    assert grown["chunked"] < 768 * 768 * 2 * 20


@pytest.mark.parametrize("method", ["full-ft", "lora-fa"])
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2"])
def test_the_twin_runs_nothing_that_no_gpu_has_shown(family: str, method: str) -> None:
    cell = tiny_cell(family, method, dtype="bf16", padding=0.5, accumulation=2, device=TWIN, **CHUNKED)
    with make_twin(cell) as twin:
        run_on_twin(cell, twin, TwinWatch())
        assert unchecked_operations(twin) == []


def test_an_evaluation_makes_no_logits_to_keep() -> None:
    assert measure_cell(tiny_cell(phase="eval", **CHUNKED)).row["status"] == "ok"
    with pytest.raises(UsageError, match="loss 'chunked' makes no logits, of which kept_logits 2") as caught:
        check_phase(tiny_cell(phase="eval", kept_logits=2, **CHUNKED))
    assert caught.value.about == "kept_logits"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "tiny-roberta"}, "is of language models, and this task is sequence-classification"),
        ({"kernels": "fused-loss"}, "kernels 'fused-loss' are two ways to be without logits"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    scenario = {"schema": 1, "name": "x", "model": "tiny-llama", "method": "lora", **settings}
    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump({**scenario, "loss": ["full", "chunked"]}, sort_keys=False))
    loaded = load_scenario(file)
    planned = expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    with pytest.raises(ScenarioError, match=rf"loss\[1\]: loss 'chunked' .*{message}"):
        check_cells(loaded, planned)
