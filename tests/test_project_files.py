"""The project's own files agree with each other."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- ci:test -->"


def project() -> dict[str, object]:
    loaded: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return loaded


def requirements() -> list[Requirement]:
    table = project()
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    lines = [*table["dependencies"], *(line for extra in extras.values() for line in extra)]  # type: ignore[misc]
    found = [Requirement(line) for line in lines]
    return [each for each in found if each.name != "lorafa-prof"]


def pins() -> dict[str, Version]:
    found: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            assert canonicalize_name(name) not in found, f"{name} is pinned twice"
            found[canonicalize_name(name)] = Version(version)
    return found


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_each_requirement_has_a_pin_that_satisfies_it(requirement: Requirement) -> None:
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_versions_shared_with_the_gpu_machines() -> None:
    """CI and the GPU machines must run the same model code (docs of the pins: transformers and peft)."""
    found = pins()
    assert (str(found["transformers"]), str(found["peft"])) == ("5.17.0", "0.21.0")
    assert found["torch"].local is None, "a pin to +cpu or +cu130 installs from one index only"


def show(readme: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / ".ci" / "run"), "--show"],
        env={**os.environ, "README": str(readme)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_ci_runs_exactly_the_marked_block(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"```\nbefore\n```\n{MARK}\n\n```bash\none && \\\n  two\n```\n```\nafter\n```\n")
    assert show(readme).stdout == "one && \\\n  two\n"


def test_ci_fails_without_the_block(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("```\npytest\n```\n")
    done = show(readme)
    assert done.returncode != 0
    assert MARK in done.stderr


def test_readme_gives_ci_its_test_command() -> None:
    assert (ROOT / "README.md").read_text().count(f"\n{MARK}\n") == 1
    command = show(ROOT / "README.md").stdout
    assert "python3 -m venv .venv" in command, ".ci/run looks for its tools in .venv"
    assert "-c constraints.txt" in command
    assert "pytest" in command


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)
    assert phony is not None
    assert set(phony.group(1).split()) == targets
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    listed = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    assert listed == targets
    assert {"setup", "test", "lint", "format", "types", "check", "quickstart"} <= targets


def test_reports_hold_results_and_no_programs() -> None:
    """What makes a page of results is in the package, and what was run to get them in benchmarks/."""
    files = [file for file in (ROOT / "reports").rglob("*") if file.is_file()]
    assert files
    programs = [
        str(file.relative_to(ROOT))
        for file in files
        if file.suffix in (".py", ".sh", ".ipynb") or file.read_bytes()[:2] == b"#!"
    ]
    assert not programs


def test_the_floor_of_coverage_is_stated() -> None:
    floor = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["report"]["fail_under"]
    stated = re.search(
        r"make coverage .*: ([\d.]+) %, and below (\d+) % it fails", (ROOT / "CONTRIBUTING.md").read_text()
    )
    assert stated is not None
    assert int(stated[2]) == floor == int(float(stated[1])), "the floor is what was measured, rounded down"


def guards() -> list[tuple[str, dict[str, str]]]:
    groups = yaml.safe_load((ROOT / "benchmarks" / "guards.yaml").read_text())
    return [(group["file"], guard) for group in groups for guard in group["guards"]]


def test_each_guard_that_is_taken_out_is_in_the_code_once() -> None:
    """Else `make guards` ends there, and the guards after it are not tried."""
    unlike = [
        f"{file}: {guard['guard']}"
        for file, guard in guards()
        if (ROOT / file).read_text().count(guard["code"]) != 1 or guard["code"] == guard["without"]
    ]
    assert unlike == []


def test_the_table_of_guards_has_each_guard_and_the_test_that_turns_red() -> None:
    with (ROOT / "reports" / "reliability" / "guards.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    assert [(file, name) for file, name, _ in rows] == [(file, guard["guard"]) for file, guard in guards()]
    assert [row for row in rows if not row[2] or row[2].startswith("not t")] == []
