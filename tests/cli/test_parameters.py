"""What shells are told may come next: at once, and the names of the catalogues."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from lorafa_prof.cli.main import cli
from lorafa_prof.cli.parameters import COMPLETION_VARIABLE
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.figures import FIGURES
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.optim.optimizer import OPTIMIZERS
from lorafa_prof.quality.measures import LEARNING_METRICS
from lorafa_prof.results.columns import METRICS
from lorafa_prof.scenario.shipped import shipped_scenarios


def completed(*words: str) -> list[str]:
    *before, begun = words
    asked = ShellComplete(cli, {}, "lorafa-prof", COMPLETION_VARIABLE)
    return [item.value for item in asked.get_completions(before, begun) if item.type == "plain"]


@pytest.mark.parametrize(
    ("option", "names"),
    [("--model", PRESETS), ("--gpu", GPUS), ("--method", METHODS), ("--optimizer", OPTIMIZERS)],
)
def test_an_option_is_completed_by_all_names_of_its_catalogue(option, names):
    assert completed("fit", option, "") == list(names)


def test_figures_and_metrics_are_completed():
    assert completed("report", "out", "--figure", "") == sorted(FIGURES)
    assert set(completed("compare", "--metric", "")) == {
        "fits",
        *(metric.name for metric in (*METRICS, *LEARNING_METRICS)),
    }
    assert completed("history", "--metric", "peak_f") == ["peak_forward_bytes"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["exp"], ["explain"]),
        (["fit", "--gpu", "h200"], ["h200"]),
        (["fit", "--method", "lora,lora-"], ["lora,lora-fa"]),
        (["fit", "--dtype", "bf"], ["bf16"]),
        (["run", "--optimizer", "sgd,adamw-8"], ["sgd,adamw-8bit"]),
        (["explain", "--packing", "t"], ["true"]),
        (["run", "quickstart", "--device", "sim:t"], ["sim:t4"]),
        (["list", "mod"], ["models"]),
        (["fit", "--targets", "q"], []),
        (["nothing", "q"], []),
    ],
)
def test_what_is_begun_is_completed(words, expected):
    assert completed(*words) == expected


@pytest.mark.parametrize("command", ["run", "check", "explain", "timeline", "fit", "verify", "learn"])
def test_a_scenario_is_a_shipped_one_or_a_file_here(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("quick-mine.yaml").touch()
    assert completed(command, "quick") == ["quickstart", "quick-mine.yaml"]
    assert completed(command, "claims/s") == ["claims/silent-thaw"]
    assert completed(command, "") == [*shipped_scenarios(), "quick-mine.yaml"]


@pytest.mark.parametrize(("shell", "prefix"), [("bash", "plain,"), ("zsh", ""), ("fish", "plain,")])
def test_a_shell_is_answered_at_once_and_on_stdout_alone(shell, prefix):
    words = "lorafa-prof fit --gpu h20"
    asked = {COMPLETION_VARIABLE: f"{shell}_complete", "COMP_WORDS": words}
    asked["COMP_CWORD"] = "h20" if shell == "fish" else "3"
    code = (
        "import sys; from lorafa_prof.cli.main import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert f"{prefix}h200" in done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_of_a_shell_names_the_command(shell):
    done = subprocess.run(
        [sys.executable, "-m", "lorafa_prof"],
        env={**os.environ, COMPLETION_VARIABLE: f"{shell}_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lorafa-prof" in done.stdout
    assert COMPLETION_VARIABLE in done.stdout
