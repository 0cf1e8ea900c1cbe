"""The benchmark that tells what a quantized base costs in gradient error, small, on the CPU."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import program
from torch import Tensor, nn

from lorafa_prof.methods.base import Prepared
from lorafa_prof.optim.lora_fa import correction_matrix

BENCHMARK = program("benchmarks/gradient_error.py")
CPU = torch.device("cpu")
LAYERS = [
    f"model.layers.0.{name}_proj"
    for name in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sums with their results: after a few steps what comes next is no longer a surprise."""
    file = tmp_path_factory.mktemp("text") / "sums.txt"
    lines = [f"{a} and {b} are {a + b} apples" for a in range(40) for b in range(40)]
    order = torch.randperm(len(lines), generator=torch.Generator().manual_seed(0)).tolist()
    file.write_text("\n".join(lines[number] for number in order))
    return file


def ready(method: str) -> tuple[Prepared, list[dict[str, Tensor]]]:
    shape = BENCHMARK.llama(64, 1, 96, 16)
    prepared = BENCHMARK.prepared(shape, method, {"rank": 4}, device=CPU, seed=0)
    for layer in BENCHMARK.adapters(prepared.model).values():
        nn.init.normal_(layer.lora_B, std=0.02)
    return prepared, list(BENCHMARK.batches(torch.arange(96), 2, 3, 16, CPU, 0))


def halved(weight: Tensor, bias: nn.Parameter | None) -> nn.Module:
    return BENCHMARK.dense(weight / 2, bias)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("method", "matrices"), [("lora", ["lora_A", "lora_B"]), ("lora-fa", ["lora_B"])])
def test_the_same_weights_make_no_error_and_others_do(method: str, matrices: list[str]) -> None:
    prepared, over = ready(method)
    before = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    exact = BENCHMARK.gradients(prepared, over)
    bases = {"the same": BENCHMARK.dense, "half": halved}
    for name, measured in BENCHMARK.over_each_base(prepared, bases, over):
        rows = list(BENCHMARK.distances(method, name, measured, exact))
        of_layers = [(layer, matrix) for layer in LAYERS for matrix in matrices]
        assert [(row.layer, row.matrix) for row in rows] == [*of_layers, *(("all", m) for m in matrices)]
        for row in rows:
            assert row.base == name
            if name == "the same":
                assert (row.relative_error, row.loss_difference) == (0.0, 0.0)
                assert row.cosine == pytest.approx(1.0)
            else:
                assert row.relative_error > 0.1
                assert row.loss_difference != 0
    after = prepared.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_gradients_are_those_that_the_optimizer_gets_of_all_batches() -> None:
    prepared, over = ready("lora-fa")
    found, loss = BENCHMARK.gradients(prepared, over)
    losses = []
    for number, inputs in enumerate(over):
        output: Any = prepared.model(**inputs)
        output.loss.backward()
        losses.append(output.loss.item())
        for path, layer in BENCHMARK.adapters(prepared.model).items():
            wanted = layer.lora_B.grad @ correction_matrix(layer.lora_A, layer.scale)
            got = found[path, "lora_B"].view(2, *wanted.shape)[number]
            torch.testing.assert_close(got.float(), wanted)
        prepared.model.zero_grad()
    assert loss == pytest.approx(sum(losses) / 2)


def test_distances_are_those_of_vectors_and_of_all_layers_as_one() -> None:
    exact = {("a", "lora_B"): torch.tensor([3.0, 4.0]), ("b", "lora_B"): torch.tensor([0.0, 12.0])}
    found = {("a", "lora_B"): torch.tensor([4.0, 3.0]), ("b", "lora_B"): torch.tensor([0.0, 6.0])}
    rows = list(BENCHMARK.distances("lora-fa", "fp8", (found, 2.5), (exact, 2.0)))
    assert [row.relative_error for row in rows] == pytest.approx([2**0.5 / 5, 0.5, 38**0.5 / 13])
    assert [row.cosine for row in rows] == pytest.approx([24 / 25, 1.0, 96 / (13 * 61**0.5)])
    assert {(row.loss, row.loss_difference) for row in rows} == {(2.5, 0.5)}


def command(text: Path, output: Path, *more: str) -> list[str]:
    of_model = ["--width", "64", "--layers", "1", "--rank", "4", "--vocabulary", "300"]
    of_steps = ["--batch", "8", "--seq", "32", "--learning-rate", "1e-2", "--adapter-steps", "2"]
    return ["--text", str(text), *of_model, *of_steps, "--device", "cpu", "--output", str(output), *more]


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    with file.open() as stream:
        yield from csv.DictReader(stream)


def test_a_trained_model_has_learned_and_each_base_layer_and_matrix_is_in_the_table(
    text: Path, tmp_path: Path
) -> None:
    losses = {}
    for steps in ("0", "60"):
        file = tmp_path / steps / "errors.csv"
        BENCHMARK.main(command(text, file, "--steps", steps))
        rows = list(rows_of(file))
        losses[steps] = float(rows[0]["loss"])
        for base, least, most in (("bf16", 1e-4, 0.1), ("fp8", 1e-2, 0.3)):
            of_base = [row for row in rows if row["base"] == base]
            assert [row["layer"] for row in of_base if row["method"] == "lora-fa"] == [*LAYERS, "all"]
            for matrix in ("lora_A", "lora_B"):
                of_lora = [row for row in of_base if (row["method"], row["matrix"]) == ("lora", matrix)]
                assert [row["layer"] for row in of_lora] == [*LAYERS, "all"]
            for row in of_base:
                assert (row["steps"], row["width"], row["rank"]) == (steps, "64", "4")
                assert (least if row["layer"] == "all" else 0) < float(row["relative_error"]) < most
                assert float(row["cosine"]) > 0.95
                assert abs(float(row["loss_difference"])) < 0.1
    assert losses["0"] > 5
    assert losses["60"] < losses["0"] - 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--width", "100"], "multiple of 64"),
        (["--adapter-steps", "0"], "at first B is zero"),
        (["--seq", "700"], "pieces of 700"),
    ],
)
def test_what_it_cannot_do_it_says(
    text: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        BENCHMARK.main(command(text, tmp_path / "errors.csv", "--steps", "1", *more))
    assert said in f"{ended.value} {capsys.readouterr().err}"


def test_without_a_gpu_it_says_what_runs(text: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit, match="--device cpu"):
        BENCHMARK.main(["--text", str(text)])
