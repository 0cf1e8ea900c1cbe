from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from told_runs import SCENARIO, Runs

from lorafa_prof.running import on_this_machine

_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[int], Callable[[], list[str]]]:
    """Makes stdout a terminal of so many columns; returns what reads its lines, without their style."""

    def of(columns: int) -> Callable[[], list[str]]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        return lambda: [line.rstrip() for line in _STYLE.sub("", capsys.readouterr().out).splitlines()]

    return of


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Runs:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)
    runs = Runs(capsys)
    monkeypatch.setattr(on_this_machine, "run_cell", runs.cell)
    return runs
