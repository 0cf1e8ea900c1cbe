"""The benchmark that tells what a quantized base costs in gradient error, small, on the CPU."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from programs import program
from torch import Tensor, nn

BENCHMARK = program("benchmarks/gradient_error.py")
CPU, FP32 = torch.device("cpu"), torch.float32


def dense(weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return layer


def halved(weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    return dense(weight / 2, bias)


def test_the_same_weights_make_no_error_and_others_do() -> None:
    model, inputs = BENCHMARK.adapted_model("tiny-llama", 2, 16, 4, "lora-fa", CPU, FP32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = {"the same": dense, "half": halved}
    rows = list(BENCHMARK.errors(model, inputs, kinds))
    layers = list(BENCHMARK.adapters(model))
    assert [(row.quantization, row.layer) for row in rows] == [(k, path) for k in kinds for path in layers]
    for row in rows:
        if row.quantization == "the same":
            assert row.relative_error == 0.0
            assert row.cosine == pytest.approx(1.0, abs=1e-6)
        else:
            assert row.relative_error > 0.1
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_a_base_in_8_bit_floats_is_near_and_every_layer_is_in_the_table(tmp_path: Path, method: str) -> None:
    file = tmp_path / "of" / "errors.csv"
    command = ["--model", "tiny-llama", "--batch", "2", "--seq", "16", "--rank", "4", "--method", method]
    BENCHMARK.main([*command, "--device", "cpu", "--output", str(file)])
    with file.open() as text:
        rows = [row for row in csv.DictReader(text) if row["quantization"] == "fp8"]
    model, _ = BENCHMARK.adapted_model("tiny-llama", 1, 8, 4, method, CPU, FP32)
    assert [row["layer"] for row in rows] == list(BENCHMARK.adapters(model))
    assert {(row["model"], row["method"], row["rank"]) for row in rows} == {("tiny-llama", method, "4")}
    for row in rows:
        assert 1e-3 < float(row["relative_error"]) < 0.3
        assert float(row["cosine"]) > 0.95


def test_without_a_gpu_it_says_what_runs() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="--device cpu"):
        BENCHMARK.main([])
