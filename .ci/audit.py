"""What is known to be unsafe in the pinned packages, by pip-audit; exits with 1 if there is anything.

    python .ci/audit.py

pip-audit is installed into a temporary folder, so that no environment gets its dependencies. Where it or the
service that knows of faults cannot be reached, this says so in one line and exits with 0: no outcome is not
the outcome that all is well, and no reason to stop others' work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
#: Seconds for each of the two, installing and asking.
MOST_S = 60


class NotReachedError(Exception):
    """There is no outcome; says why in one line."""


def run(arguments: Sequence[str], **environment: str) -> str:
    """What a module of this Python prints.

    Raises:
        NotReachedError: it took too long, or printed nothing.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=MOST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotReachedError(f"{arguments[0]} had no answer in {MOST_S} s") from error
    if not done.stdout.strip() and done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = "".join(filter(str.isprintable, lines[-1]))[:200] if lines else "no word"
        raise NotReachedError(f"{arguments[0]}: {said}")
    return done.stdout


def audited(folder: str, accepted: Sequence[str]) -> list[dict[str, Any]]:
    """What pip-audit knows of each pinned package; `folder` takes pip-audit.

    Raises:
        NotReachedError: it cannot be installed, or has no answer.
    """
    run(["pip", "install", "-q", "--target", folder, "-c", str(CONSTRAINTS), "pip-audit"])
    ignored = [word for name in accepted for word in ("--ignore-vuln", name)]
    options = ["--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    text = run(["pip_audit", "-r", str(CONSTRAINTS), *options, *ignored], PYTHONPATH=folder)
    try:
        packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, LookupError, TypeError) as error:
        raise NotReachedError("pip_audit: its answer is none") from error
    return packages


def outcome(packages: Sequence[dict[str, Any]]) -> tuple[int, list[str]]:
    """The exit code, and lines that say why.

    Raises:
        NotReachedError: the service knows none of the packages: here it is something that stands for it.
    """
    known = [package for package in packages if "vulns" in package]
    if not known:
        raise NotReachedError(f"the service knows none of the {len(packages)} packages from here")
    lines = [
        f"{package['name']} {package['version']}: {fault['id']}, "
        f"mended in {', '.join(fault.get('fix_versions') or []) or 'no release yet'}"
        for package in known
        for fault in package["vulns"]
    ]
    rest = f"; {len(packages) - len(known)} more are not known there" if len(known) < len(packages) else ""
    faults = f"{len(lines)} known faults" if lines else "no known fault"
    return int(bool(lines)), [*lines, f"audit: {faults} in {len(known)} packages{rest}"]


def main() -> int:
    """Print the outcome, or that there is none; the exit code."""
    accepted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["lorafa-prof"]["accepted-faults"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            code, lines = outcome(audited(folder, accepted))
    except NotReachedError as error:
        code, lines = 0, [f"audit: not reached, nothing was audited: {error}"]
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
