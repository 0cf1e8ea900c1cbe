"""The GitHub Action: its scripts run here as on GitHub, with commands that only note how they are called."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorafa_prof.cli.judgement_output import judgement_options

ROOT = Path(__file__).resolve().parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]

pytestmark = pytest.mark.skipif(shutil.which("xargs") is None, reason="needs bash and xargs")


def step(name: str) -> dict[str, Any]:
    return next(each for each in STEPS if each.get("id") == name)


@dataclass
class Called:
    """How a script ended, and the arguments of each command that it called."""

    code: int
    log: str
    calls: list[list[str]]


class Runner:
    """Runs the scripts of the action's steps."""

    def __init__(self, folder: Path) -> None:
        self.workspace = folder / "work space"
        self.workspace.mkdir()
        self.summary = folder / "summary.md"
        self.summary.write_text("from another step\n")
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._calls = folder / "calls"

    def fake(self, name: str, *, prints: str = "", code: int = 0) -> None:
        """Put a command on the path that notes its arguments, and ends with `code`."""
        script = f"""#!/bin/sh
{{ printf '%s\\0' "$@"; printf '\\n\\0'; }} >> '{self._calls}'
printf '%s' '{prints}'
echo 'for people' >&2
exit {code}
"""
        (self._bin / name).write_text(script)
        (self._bin / name).chmod(0o755)

    def run(self, name: str, **inputs: str) -> Called:
        """Run a step; an input that is not given has its default."""
        values = {key: str(about.get("default", "")) for key, about in ACTION["inputs"].items()}
        values |= {key.replace("_", "-"): value for key, value in inputs.items()}
        env = {
            variable: values[expression.removeprefix("${{ inputs.").removesuffix(" }}")]
            for variable, expression in step(name)["env"].items()
        }
        told = {"GITHUB_STEP_SUMMARY": str(self.summary), "GITHUB_ACTION_PATH": "/actions/lorafa prof"}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step(name)["run"]],
            env={"PATH": f"{self._bin}:{os.environ['PATH']}", **told, **env},
            cwd=self.workspace,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        return Called(done.returncode, done.stdout + done.stderr, self._read())

    def _read(self) -> list[list[str]]:
        if not self._calls.exists():
            return []
        calls = self._calls.read_text().split("\n\0")[:-1]
        return [call.split("\0")[:-1] for call in calls]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def checked(runner: Runner) -> Runner:
    runner.fake("lorafa-prof", prints="## claims\n")
    return runner


def test_no_input_is_written_into_a_script() -> None:
    scripts = [each["run"] for each in STEPS if "run" in each]
    assert len(scripts) == 3
    assert not [script for script in scripts if "${{" in script]


def test_every_input_is_used_and_every_one_used_exists() -> None:
    text = (ROOT / "action.yml").read_text()
    used = {part.split("}}")[0].strip() for part in text.split("inputs.")[1:]}
    assert used == set(ACTION["inputs"])
    assert [name for name, about in ACTION["inputs"].items() if about.get("required")] == ["scenario"]


def test_a_scenario_and_nothing_else(checked: Runner) -> None:
    called = checked.run("check", scenario="claims.yaml")
    assert called.calls == [["check", "claims.yaml", "--annotations", "--markdown", "-"]]
    assert called.code == 0
    assert called.log == "for people\n", "Markdown is for the summary, not for the log"
    assert checked.summary.read_text() == "from another step\n## claims\n"


@pytest.mark.parametrize("scenarios", ["a.yaml b.yaml", "a.yaml\nb.yaml\n", "  a.yaml\n\n  'b.yaml' "])
def test_several_scenarios(scenarios: str, checked: Runner) -> None:
    (arguments,) = checked.run("check", scenario=scenarios).calls
    assert arguments[:-3] == ["check", "a.yaml", "b.yaml"]


def test_all_inputs_and_what_is_in_them(checked: Runner) -> None:
    called = checked.run(
        "check",
        scenario="'my claims.yaml' *.yaml",
        baseline="base line.json",
        arguments="--set batch=4 --claim 'held bytes'\n--set 'method[1].rank=[8, 64]'",
        junit="out put/j.xml",
        json="j.json",
        markdown="new folder/m.md",
    )
    assert called.calls == [
        [
            *("check", "my claims.yaml", "*.yaml"),
            *("--set", "batch=4", "--claim", "held bytes", "--set", "method[1].rank=[8, 64]"),
            *("--baseline", "base line.json", "--junit", "out put/j.xml", "--json", "j.json"),
            *("--annotations", "--markdown", "-"),
        ]
    ]
    assert (checked.workspace / "new folder/m.md").read_text() == "## claims\n"
    assert checked.summary.read_text().endswith("## claims\n")


@pytest.mark.parametrize("input_", ["scenario", "arguments", "baseline", "junit", "json"])
def test_nothing_in_an_input_runs(input_: str, checked: Runner) -> None:
    evil = "$(touch evil);`touch evil`;${IFS}&&touch\tevil|x"
    given = {"scenario": "s.yaml", input_: evil}
    (arguments,) = checked.run("check", **given).calls
    assert "$(touch" in " ".join(arguments)
    assert not list(checked.workspace.iterdir())


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4])
def test_the_exit_code_is_that_of_the_check_and_the_summary_is_written(code: int, runner: Runner) -> None:
    runner.fake("lorafa-prof", prints="## claims\n", code=code)
    called = runner.run("check", scenario="s.yaml", markdown="m.md")
    assert called.code == code
    assert runner.summary.read_text() == "from another step\n## claims\n"
    assert (runner.workspace / "m.md").read_text() == "## claims\n"


def test_a_quote_that_does_not_end_is_wrong_usage(checked: Runner) -> None:
    called = checked.run("check", scenario="s.yaml", arguments="--claim 'x")
    assert (called.code, called.calls) == (2, [])
    assert "quote" in called.log


def test_the_actions_own_version_is_installed(runner: Runner) -> None:
    runner.fake("python")
    called = runner.run("install")
    ((*pip, requirement),) = called.calls
    assert pip[:3] == ["-m", "pip", "install"]
    assert pip[3:] == ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    assert requirement == "/actions/lorafa prof[peft]"


def test_another_version_and_packages_are_installed(runner: Runner) -> None:
    runner.fake("python")
    (arguments,) = runner.run(
        "install", version="lorafa-prof >= 0.1", packages=". 'liger-kernel >= 0.6'"
    ).calls
    assert arguments[5:] == ["lorafa-prof >= 0.1", ".", "liger-kernel >= 0.6"]


def test_an_installation_that_fails_stops_it(runner: Runner) -> None:
    runner.fake("python", code=1)
    assert runner.run("install").code == 1


def test_the_options_are_those_of_the_command() -> None:
    options = {name for each in judgement_options(lambda: None).__click_params__ for name in each.opts}  # type: ignore[attr-defined]
    script = step("check")["run"]
    assert {"--junit", "--json", "--markdown", "--annotations"} <= options
    assert all(option in script for option in options)
    assert isinstance(ACTION["inputs"]["python-version"]["default"], str), "3.10 is not 3.1"


def block_of(mark: str) -> str:
    """The fenced block below a mark in docs/ci.md."""
    page = (ROOT / "docs/ci.md").read_text()
    return page.split(f"<!-- {mark} -->\n```yaml\n")[1].split("```")[0]


@pytest.mark.parametrize(
    "text", [block_of("ci:workflow"), (ROOT / ".github/workflows/memory-claims.yml").read_text()]
)
def test_workflows_give_the_inputs_that_there_are(text: str) -> None:
    (job,) = yaml.safe_load(text)["jobs"].values()
    checkout, gate = job["steps"][:2]
    assert checkout["uses"].startswith("actions/checkout@")
    assert gate["uses"].startswith(("./", "lorafa-prof/lorafa-prof@"))
    assert {"scenario"} <= set(gate["with"]) <= set(ACTION["inputs"])


def test_this_projects_own_workflow_judges_scenarios_that_there_are() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/memory-claims.yml").read_text())
    scenarios = workflow["jobs"]["check"]["steps"][1]["with"]["scenario"].split()
    assert scenarios
    assert [name for name in scenarios if not (ROOT / name).is_file()] == []


def test_the_workflow_of_the_documentation_has_ten_lines() -> None:
    assert len(block_of("ci:workflow").splitlines()) == 10


def test_the_documentation_names_every_input() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    assert [name for name in ACTION["inputs"] if f"`{name}`" not in page] == []


def test_gitlab_runs_the_commands_for_any_ci() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    job = yaml.safe_load(block_of("ci:gitlab"))["memory-claims"]
    assert "```\n" + "\n".join(job["script"]) + "\n```" in page
    assert job["artifacts"] == {"when": "always", "reports": {"junit": "memory-claims.xml"}}
