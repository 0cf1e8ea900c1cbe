"""`lorafa-prof run` of cells on several ranks, from the scenario to the table, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorafa_prof.cli.main import main
from lorafa_prof.results.table import read_table

SCENARIO = """\
schema: 1
name: tiny
model: tiny-llama
method: {name: lora-fa, rank: 4}
batch: 2
seq: 16
dtype: fp32
device: cpu
parallel: fsdp2
gpus: 2
shard: [{}, {reshard_after_forward: false}]
steps: {warmup: 1, timed: 2}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(SCENARIO)
    return file


def run(scenario: Path, *settings: str) -> int:
    options = [option for setting in settings for option in ("--set", setting)]
    out = scenario.parent / "out"
    with pytest.raises(SystemExit) as ended:
        main(["run", str(scenario), "-o", str(out), "--no-figures", *options])
    return int(ended.value.code or 0)


def test_a_scenario_of_two_ranks(scenario: Path) -> None:
    assert run(scenario) == 0
    table = read_table(scenario.parent / "out")
    assert list(table["status"]) == ["ok", "ok"]
    assert list(table["gpus"]) == [2, 2]
    assert list(table["shard"].fillna("")) == ["", "reshard_after_forward=false"]
    held = list(table["activation_bytes"])
    assert held[1] > held[0]
    assert list(table["tokens_per_s"] / table["tokens_per_s_per_gpu"]) == pytest.approx([2, 2])


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["gpus=1"], "parallel 'fsdp2' on the CPU needs several processes, and gpus is 1"),
        (
            ["gpus=1", "parallel=ddp", "shard=[{}]"],
            "parallel 'ddp' averages gradients over GPUs",
        ),
        (["parallel=none", "shard=[{}]"], "gpus is 2, and parallel is none"),
        (["parallel=ddp"], "only parallel 'fsdp2' shards, and no cell has it; leave shard out"),
        (
            ["shard[0].offload=cpu"],
            "shard.offload 'cpu' keeps shards on the host",
        ),
        (["optimizer=adafactor"], "those that can: adamw, adamw-foreach, adamw-loop, sgd, sgd-momentum"),
        (["optimizer=adamw-8bit"], "optimizer 'adamw-8bit'"),
        (["method={name: peft-lora-fa, rank: 4}"], "methods that can: "),
        (["kernels=packed"], "kernels 'packed' multiplies by weights that lie side by side"),
        (["quantization=nf4"], "quantization 'nf4'"),
        (["quantization=fp8", "parallel=ddp", "shard=[{}]", "dtype=bf16"], "has no 8-bit floats"),
        (["quantization=fp8", "shard={mp: bf16}", "dtype=bf16"], "8-bit floats no more; set mp to none"),
        (["update=backward"], "update 'backward' uses gradients before ranks have reduced them"),
        (["phase=eval"], "phase 'eval' is measured on one GPU"),
        (["gpus=0"], "at least 1"),
        (["shard[0].mp=fp16"], "it should be 'none' or 'bf16', not 'fp16'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_before_anything_is_measured(
    scenario: Path, settings: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(scenario, *settings) == 2
    assert line in capsys.readouterr().err.splitlines()[-1]
    assert not (scenario.parent / "out").exists()
