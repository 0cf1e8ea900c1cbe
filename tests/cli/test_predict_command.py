from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lorafa_prof.cli.predict import predict_command
from lorafa_prof.predicting import trials

LOOP = """\
import sys, torch
model = torch.nn.Linear(1000, int(sys.argv[2]), device="cuda")
optimizer = torch.optim.SGD(model.parameters())
for step in range(5):
    print("step", step)
    model(torch.randn(8, 1000).cuda()).sum().backward()
    optimizer.step()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(LOOP)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(predict_command, arguments, standalone_mode=False)


def test_the_answer_is_on_stdout_and_what_the_script_says_on_stderr() -> None:
    result = run("--", "python", "train.py", "--width", "500")
    assert result.return_value == 0
    assert result.stdout.startswith("needs ")
    assert "fits on rtx-4090" in result.stdout
    assert "train.py:2" in result.stdout
    assert "step" not in result.stdout
    assert "step 0\nstep 1\n" in result.stderr


def test_json_has_the_peaks() -> None:
    result = run("--gpu", "h100-80gb", "--json", "p.json", "--", "python", "train.py", "--width", "500")
    assert result.return_value == 0
    told = json.loads(Path("p.json").read_text())
    assert (told["schema_version"], told["status"], told["gpu"]) == (1, "ok", "h100-80gb")
    assert 0 < told["peak_requested_bytes"] <= told["peak_allocated_bytes"] <= told["peak_reserved_bytes"]
    assert {"line", "code", "kind", "bytes", "blocks"} == set(told["holders"][0])


@pytest.mark.parametrize(("option", "code"), [([], 0), (["--fail-on-oom"], 3)])
def test_out_of_memory_is_a_result(option: list[str], code: int) -> None:
    result = run(*option, "--once", "--", "python", "train.py", "--width", str(10**8))
    assert result.return_value == code
    assert result.stdout.startswith("out of memory on rtx-4090 at train.py:2, step 1, build; ")
    assert "short for that request" in result.stdout


def test_out_of_memory_tells_what_is_needed_in_all() -> None:
    # The second run starts where the first one did, although that has moved.
    Path("moves.py").write_text("import os\nos.makedirs('out', exist_ok=True)\nos.chdir('out')\n" + LOOP)
    answer = Path("p.json").absolute()
    width = str(5 * 10**6)
    result = run("--fail-on-oom", "--json", str(answer), "--", "python", "moves.py", "--width", width)
    assert result.return_value == 3
    told = json.loads(answer.read_text())
    assert told["status"] == "oom"
    assert told["peak_reserved_bytes"] <= told["capacity_bytes"] < told["needed_reserved_bytes"]
    free = told["without_limit"]
    assert (free["status"], free["steps"]) == ("ok", 2)
    assert sum(free["at_peak_bytes"].values()) == free["peak_allocated_bytes"]
    assert result.stdout.startswith("out of memory on rtx-4090 at moves.py:9, step 1, backward; needs ")
    assert " in all, " in result.stdout.splitlines()[0]
    assert "at the peak if nothing limits it" in result.stdout


def test_a_script_that_cannot_run_twice_is_told_as_ever() -> None:
    Path("train.py").write_text("input()\nopen('once', 'x')\n" + LOOP)
    command = ["--", "python", "train.py", "--width", str(10**8)]
    result = CliRunner().invoke(predict_command, command, standalone_mode=False, input="a line\n")
    assert result.return_value == 0
    assert "short for that request" in result.stdout.splitlines()[0]
    note = "note: how much it needs in all is not known; run once more without the limit: the script failed: "
    assert note in result.stderr


def test_without_a_limit_nothing_runs_out() -> None:
    result = run("--no-limit", "--json", "p.json", "--", "python", "train.py", "--width", str(10**8))
    assert result.return_value == 0
    told = json.loads(Path("p.json").read_text())
    assert (told["status"], told["capacity_bytes"]) == ("ok", None)
    assert told["needed_reserved_bytes"] == told["peak_reserved_bytes"] > 2**38


@pytest.mark.parametrize(
    ("script", "code"), [("raise ValueError('x')", 1), ("import sys; sys.exit(3)", 1), ("print()", 4)]
)
def test_exit_codes(script: str, code: int) -> None:
    Path("other.py").write_text(script)
    assert run("--", "python", "other.py").return_value == code


def test_the_largest_value_of_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[tuple[str, ...], list[str]]] = []

    def apart(script: Any, options: list[str], start: Any) -> dict[str, Any]:
        tried.append((script.arguments, options))
        needed = 1000 * int(script.arguments[1])
        status = "ok" if needed <= 5000 else "oom"
        return {"status": status, "message": "", "peak_reserved_bytes": needed, "capacity_bytes": 5000}

    monkeypatch.setattr(trials, "predict_apart", apart)
    result = run("--vary", "width", "--json", "p.json", "--", "python", "train.py", "--width", "2")
    assert result.return_value == 0
    assert result.stdout.startswith("the largest width that fits is 5")
    assert json.loads(Path("p.json").read_text())["largest"] == 5
    assert tried[0] == (("--width", "1"), ["--gpu", "rtx-4090", "--steps", "2", "--once"])


def test_a_trial_in_a_process_of_its_own() -> None:
    from lorafa_prof.predicting.script import Script

    told = trials.predict_apart(
        Script("train.py", False, ("--width", "8")), ["--steps", "1"], trials.Start.here()
    )
    assert (told["status"], told["steps"]) == ("ok", 1)
