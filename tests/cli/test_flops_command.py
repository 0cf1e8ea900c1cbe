from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from lorafa_prof.cli.flops import flops_command
from lorafa_prof.errors import UsageError

AXES = ["--model", "tiny-llama", "--batch", "2", "--seq", "48", "--gpu", "h100-80gb"]


def told(*arguments: str) -> str:
    result = CliRunner().invoke(flops_command, [*AXES, *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_three_opinions_side_by_side_and_the_cause_of_what_differs():
    lines = told("--method", "lora-fa", "--rank", "4").splitlines()
    assert lines[0] == "tiny-llama lora-fa r4 b2 s48, on the twin of h100-80gb: FLOPs of one step"
    assert lines[1].startswith(
        "Executed: forward 24.995 MFLOP, backward 27.648 MFLOP, optimizer 38,912 FLOP; in all"
    )
    assert lines[2] == "Closed form: the same to the last operation, in every module."
    assert lines[3].startswith("fvcore, of forward alone: ")
    assert lines[3].endswith(" % less in forward [1].")
    assert lines[-1].startswith("[1] fvcore traces the network without adapters")
    (header,) = (line for line in lines if line.startswith("forward"))
    assert header.split() == ["forward,", "MFLOP", "executed", "closed", "form", "fvcore"]
    first, other = (line for line in lines if "q_proj" in line and "*" not in line)
    assert (first.split()[0], other.split()[0]) == (
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.self_attn.q_proj",
    )
    assert max(map(len, lines[4:-1])) <= 80


def test_json_has_every_module_and_cause():
    found = json.loads(told("--method", "full-ft,lora", "--checkpointing", "full", "--json"))
    full, lora = found["cells"]
    assert found["schema_version"] == 1
    assert sum(row["executed"] for row in full["rows"]) == sum(full["executed"].values())
    assert {row["phase"] for row in lora["rows"]} == {"forward", "backward"}
    again = [row for row in lora["rows"] if row["modules"] == ["model.layers.0.self_attn.q_proj"]]
    assert len(again[0]["why_not_closed_form"]) == 2
    assert all(row["fvcore"] == row["executed"] for row in full["rows"] if row["phase"] == "forward")


def test_a_device_that_is_no_twin_is_refused():
    with pytest.raises(UsageError, match="counted on a twin"):
        CliRunner().invoke(flops_command, [*AXES, "--device", "cuda"], catch_exceptions=False)
