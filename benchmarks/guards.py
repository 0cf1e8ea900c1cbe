"""Whether each guard has a test that turns red when it is taken out: guards.yaml, one after the other.

    python benchmarks/guards.py [REGEX] > reports/reliability/guards.csv

Tries those of a file or name that REGEX matches, in a copy of this checkout, and prints a line of CSV each.
Exit code 1 where a guard has no such test. The test must pass with the guard, else nothing can be said.
"""

from __future__ import annotations

import csv
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import pandas  # noqa: F401
import peft  # noqa: F401
import pytest
import torch  # noqa: F401
import yaml

ROOT = Path(__file__).resolve().parent.parent
_COPIED = ("lorafa_prof", "tests", "scenarios", "pyproject.toml", "README.md", "docs")
_PYTEST = ("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider")
#: A guard against what never ends, or fills the memory, shows by that.
_LONGEST_S = 300
_MOST_BYTES = 8 * 2**30


def red_test(tree: Path, tests: list[str]) -> str:
    """The first test that fails in `tree`; empty where all pass."""
    said = tree / "said.txt"
    said.write_text("")
    # Forked, since importing PyTorch takes longer than the tests.
    child = os.fork()
    if not child:
        _run_tests(tree, tests, said)
    ends = time.monotonic() + _LONGEST_S
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > ends:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return f"no end within {_LONGEST_S} s"
        time.sleep(0.05)
    text = said.read_text()
    if ended[1] == 0 and re.search(r"^[0-9]+ passed", text, re.MULTILINE):
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", text, re.MULTILINE)
    return failed[1] if failed else "the tests do not come to their end"


def _run_tests(tree: Path, tests: list[str], said: Path) -> NoReturn:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    for stream in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os._exit(pytest.main([*_PYTEST, *tests]))


def without(tree: Path, group: dict[str, Any], guard: dict[str, str]) -> str:
    """The test that fails in `tree` without the guard, which is put back."""
    file = tree / group["file"]
    source = file.read_text()
    if source.count(guard["code"]) != 1:
        raise SystemExit(
            f"{group['file']}: the code of '{guard['guard']}' is not there once; mend guards.yaml"
        )
    file.write_text(source.replace(guard["code"], guard["without"]))
    try:
        return red_test(tree, group["tests"])
    finally:
        file.write_text(source)


def check_green(tree: Path, red: str, green: set[str]) -> None:
    """End where the test `red` fails in `tree` with all guards too; `green` has those known to pass."""
    test = red.partition("[")[0]
    if "::" in test and test not in green:
        if red_test(tree, [test]):
            raise SystemExit(f"{test} fails with all guards too; mend it first")
        green.add(test)


def main() -> int:
    """Try the guards, print the table."""
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    groups = yaml.safe_load((ROOT / "benchmarks" / "guards.yaml").read_text())
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("file", "guard", "red without it"))
    missing = 0
    green: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tree / name)
        for group in groups:
            for guard in group["guards"]:
                if wanted.search(f"{group['file']} {guard['guard']}"):
                    red = without(tree, group, guard)
                    check_green(tree, red, green)
                    missing += not red
                    table.writerow((group["file"], guard["guard"], red))
                    sys.stdout.flush()
    return int(missing > 0)


if __name__ == "__main__":
    raise SystemExit(main())
