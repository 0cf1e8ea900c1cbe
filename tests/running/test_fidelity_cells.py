"""Cells that are asked for their fidelity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.fidelity.comparison import Comparison
from lorafa_prof.instruments.fidelity.fidelity import Fidelity, WeightFidelity
from lorafa_prof.running import base_error, fidelity
from lorafa_prof.running.fidelity import NO_GRADIENT, NOT_ON_A_TWIN, check_fidelity
from lorafa_prof.running.measure import measure_cell

COLUMNS = ("fidelity_distance", "fidelity_cosine", "fidelity_floor")


def asked(method: str = "lora-fa", model: str = "tiny-llama", **settings: Any) -> Cell:
    return tiny_cell(model, method, instruments=("fidelity",), **settings)


def test_columns_and_record_of_a_measured_cell():
    result = measure_cell(asked())
    distance, cosine, floor = (result.row[name] for name in COLUMNS)
    assert 0 < floor < 1
    assert distance == pytest.approx(floor, rel=1e-4)
    assert cosine == pytest.approx((1 - floor**2) ** 0.5, rel=1e-4)
    record = result.details["fidelity"]
    assert record["rule"] == "lora-fa"
    assert record["total"]["floor"]["rows"] == floor
    assert record["total"]["steps"].keys() == {"lora", "lora-fa", "lora-fa-uncorrected", "optimizer"}
    assert record["total"]["steps"]["optimizer"]["distance"] is None  # it has a learning rate of its own
    assert 0 < record["total"]["steps"]["optimizer"]["cosine"] < cosine
    first = record["weights"][0]
    assert (first["module"], first["shape"], first["rank"]) == (
        "model.layers.0.self_attn.q_proj", [64, 64], 4,
    )  # fmt: skip
    assert sum(weight["gradient_share"] for weight in record["weights"]) == pytest.approx(1)


def test_without_its_correction_lora_fa_is_judged_by_what_it_does():
    cell = asked()
    uncorrected = cell.method.model_copy(update={"options": {**cell.method.options, "correction": False}})
    record = measure_cell(cell.model_copy(update={"method": uncorrected})).details["fidelity"]
    assert record["rule"] == "lora-fa-uncorrected"
    assert record["total"]["steps"]["lora-fa-uncorrected"]["distance"] > record["total"]["floor"]["rows"]


def test_what_is_measured_besides_is_the_same():
    row, other = measure_cell(asked()).row, measure_cell(tiny_cell("tiny-llama", "lora-fa")).row
    exact = ("peak_allocated_bytes", "activation_bytes", "saved_bytes", "flops_step", "optimizer_bytes")
    assert [row[name] for name in exact] == [other[name] for name in exact]
    assert not set(COLUMNS) & other.keys()


def test_a_base_of_fp8_in_bf16_with_all_that_a_step_may_have():
    settings = {"accumulation": 2, "max_grad_norm": 1.0, "checkpointing": "full", "dropout": 0.1}
    row = measure_cell(asked(dtype="bf16", quantization="fp8", **settings)).row
    assert row["fidelity_floor"] <= row["fidelity_distance"] + 1e-6 < 1.1


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_a_quantized_base_has_its_price(method: str):
    result = measure_cell(asked(method, quantization="fp8"))
    assert 0.01 < result.row["base_error"] < 0.2
    assert result.row["base_cosine"] == pytest.approx(1, abs=0.02)
    record = result.details["base_error"]
    assert record["total"] == {"distance": result.row["base_error"], "cosine": result.row["base_cosine"]}
    assert [weight["module"] for weight in record["weights"]] == [
        weight["module"] for weight in result.details["fidelity"]["weights"]
    ]
    assert sum(weight["step_share"] for weight in record["weights"]) == pytest.approx(1)


def test_a_base_that_is_quantized_without_loss_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(base_error, "quantize_as", lambda model, like, quantization: None)
    row = measure_cell(asked(quantization="fp8", dropout=0.1)).row
    assert row["base_error"] == pytest.approx(0, abs=1e-6)
    assert row["base_cosine"] == pytest.approx(1)


def test_a_dense_base_has_no_price():
    row = measure_cell(asked()).row
    assert not {"base_error", "base_cosine"} & row.keys()


def test_full_fine_tuning_is_at_no_distance():
    row = measure_cell(asked("full-ft")).row
    assert [row[name] for name in COLUMNS] == [0.0, pytest.approx(1.0), 0.0]


def test_a_method_without_low_rank_factors_says_so():
    result = measure_cell(asked("frozen"))
    assert not set(COLUMNS) & result.row.keys()
    assert "no linear layer trains" in result.row["message"]
    assert "fidelity" in result.details["unavailable"]


def test_a_gradient_that_is_nothing_is_said(monkeypatch):
    nothing = WeightFidelity("a", (1, 1), 1, dict.fromkeys(("lora", "optimizer"), Comparison()), {})
    told = Fidelity("lora", (replace(nothing, projections={"rows-and-columns": Comparison()}),))
    monkeypatch.setattr(fidelity, "fidelity_of_adapters", lambda *args, **options: told)
    result = measure_cell(asked())
    assert NO_GRADIENT in result.row["message"]
    assert not set(COLUMNS) & result.row.keys()


def test_adapters_that_are_left_out_are_named():
    cell = asked()
    options = {**cell.method.options, "targets": ["q_proj", "embed_tokens"]}
    result = measure_cell(
        cell.model_copy(update={"method": cell.method.model_copy(update={"options": options})})
    )
    assert "fidelity leaves out 1 adapter (model.embed_tokens)" in result.row["message"]


def test_a_twin_has_no_numbers():
    result = measure_cell(asked(device="sim:h100-80gb", gpu="h100-80gb"))
    assert result.row["status"] == "ok"
    assert result.row["message"] == NOT_ON_A_TWIN
    assert result.details["unavailable"]["fidelity"] == NOT_ON_A_TWIN


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"phase": "eval"}, "an evaluation has none; set phase to train"),
        ({"parallel": "ddp", "gpus": 2}, "parallel is ddp; set parallel to none"),
        ({"update": "backward"}, "set update to step"),
        ({"kernels": "packed"}, "kernels 'packed' run several as one"),
        ({"kernels": "compile"}, "kernels 'compile' run several as one"),
    ],
)
def test_cells_whose_gradients_cannot_be_had_are_refused_in_one_line(settings, words):
    with pytest.raises(UsageError, match=words) as error:
        check_fidelity(asked(**settings))
    assert error.value.about == "instruments"
    check_fidelity(asked(**settings).model_copy(update={"instruments": ()}))


def test_out_of_memory_costs_these_columns_only(monkeypatch):
    def fail(*args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(fidelity, "fidelity_of_adapters", fail)
    result = measure_cell(asked())
    assert (result.row["status"], result.row["message"]) == ("ok", "no memory left for the fidelity pass")
    assert "saved_bytes" in result.row
    assert "fidelity" not in result.details
