"""The workflow of lint, types and tests on GitHub: what it names is there, and it runs what is supported.

It cannot run here, so it is read back.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_project_files import project

from lorafa_prof.versions import OLDEST, OLDEST_TORCH_OF_TWIN, named

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
each_job = pytest.mark.parametrize("name", JOBS)


def scripts(name: str) -> list[str]:
    return [step["run"] for step in JOBS[name]["steps"] if "run" in step]


def pythons(name: str) -> list[str]:
    (setup,) = (step["with"] for step in JOBS[name]["steps"] if "setup-python@" in step.get("uses", ""))
    matrix: list[str] = JOBS[name].get("strategy", {}).get("matrix", {}).get("python", [])
    return matrix or [setup["python-version"]]


def test_it_runs_on_pull_requests_and_on_main_and_may_only_read() -> None:
    triggers = WORKFLOW[True]  # YAML's reading of `on`
    assert triggers == {"pull_request": None, "push": {"branches": ["main"]}}
    assert WORKFLOW["permissions"] == {"contents": "read"}


@each_job
def test_a_job_checks_out_sets_up_python_and_runs_something_for_a_limited_time(name: str) -> None:
    job = JOBS[name]
    assert job.keys() <= {"runs-on", "timeout-minutes", "strategy", "continue-on-error", "steps"}
    assert job["timeout-minutes"] <= 60
    assert [step["uses"] for step in job["steps"][:2]] == ["actions/checkout@v6", "actions/setup-python@v6"]
    assert [step.keys() for step in job["steps"][2:]] == [{"run"}] * len(scripts(name)) != []


@each_job
def test_versions_of_python_are_text_and_what_pip_caches_follows_a_file_that_there_is(name: str) -> None:
    setup = JOBS[name]["steps"][1]["with"]
    assert all(isinstance(version, str) for version in pythons(name)), "3.10 is not 3.1"
    assert setup["cache"] == "pip"
    assert (ROOT / setup["cache-dependency-path"]).is_file()


@each_job
def test_what_it_runs_is_there(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for script in scripts(name):
        assert "${{" not in script
        for line in script.splitlines():
            if line.startswith("make "):
                assert set(line.split()[1:]) <= set(targets)
            for path in re.findall(r"--ignore (\S+)", line):
                assert (ROOT / path).is_file()


def test_lint_types_tests_and_coverage_are_run() -> None:
    ran = " ".join(script for name in JOBS for script in scripts(name)).split()
    assert {"lint", "types", "coverage"} <= set(ran)
    assert scripts("tests") == ['bash -e -c "$(.ci/run --show)"'], "README's command"


def test_tests_run_on_every_python_that_the_package_names() -> None:
    table: dict[str, Any] = project()
    named = [line.rsplit(" ", 1)[-1] for line in table["classifiers"] if "Python :: 3." in line]
    assert pythons("tests") == named
    assert table["requires-python"] == f">={named[0]}"
    assert pythons("versions") == named[:2], "those that torch 2.6 and transformers 5.0 are tried with"
    assert pythons("newest") == named[-1:]


def sets() -> dict[str, dict[str, str]]:
    """The packages of each set of .ci/versions.txt, by its name."""
    lines = (ROOT / ".ci/versions.txt").read_text().splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: dict(word.split("==") for word in given) for name, *given in words}


def test_the_oldest_versions_are_those_that_the_package_allows() -> None:
    oldest = {name: f"{named(release)}.0" for name, release in OLDEST.items()}
    asked = {**sets()["oldest"], "torch": sets()["oldest-torch"]["torch"]}
    assert {name: asked[name] for name in OLDEST} == oldest
    assert sets()["oldest-twin"]["torch"] == f"{named(OLDEST_TORCH_OF_TWIN)}.0"


def test_all_sets_are_tried_and_those_without_a_pytorch_of_their_own_in_every_ci() -> None:
    of_transformers, of_torch = (script.split()[1:] for script in scripts("versions"))
    assert of_transformers == []
    assert [*of_torch] == [name for name, given in sets().items() if "torch" in given]
    assert [name for name, given in sets().items() if "torch" not in given] == ["oldest", "newest"]
    assert "\n.ci/versions\n" in (ROOT / ".ci/run").read_text()


def test_tests_of_every_version_are_there() -> None:
    named_there = re.findall(r"tests/\S+\.py", (ROOT / ".ci/versions").read_text())
    assert len(named_there) > 10
    assert [path for path in named_there if not (ROOT / path).is_file()] == []


def test_only_what_is_newer_than_the_pins_may_fail() -> None:
    assert [name for name, job in JOBS.items() if job.get("continue-on-error")] == ["newest"]
    assert not [script for script in scripts("newest") if "constraints" in script]
