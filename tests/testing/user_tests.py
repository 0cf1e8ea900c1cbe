"""Running pytest with the plugin on a user's tests, in a process of its own as they would."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PLUGIN = "lorafa_prof.testing.plugin"


@dataclass(frozen=True)
class Outcome:
    """Of one test: "passed", "failure", "error" or "skipped", and what was said in full."""

    state: str
    text: str


@dataclass(frozen=True)
class UserRun:
    """Outcomes by the test's name, and what was printed."""

    outcomes: dict[str, Outcome]
    printed: str


def run_user_tests(folder: Path, *options: str) -> UserRun:
    """Run the tests in `folder`; it does not matter whether the plugin is installed."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "--strict-markers", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "--junitxml=report.xml", *options],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        check=False,
    )
    report = folder / "report.xml"
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    return UserRun({case.attrib["name"]: _outcome(case) for case in cases}, ran.stdout + ran.stderr)


def _outcome(case: ElementTree.Element) -> Outcome:
    for child in case:
        if child.tag in ("failure", "error", "skipped"):
            return Outcome(child.tag, child.text or "")
    return Outcome("passed", "")
