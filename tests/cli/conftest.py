from __future__ import annotations

from pathlib import Path

import pytest
from told_runs import SCENARIO, Runs

from lorafa_prof.running import on_this_machine


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Runs:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)
    runs = Runs(capsys)
    monkeypatch.setattr(on_this_machine, "run_cell", runs.cell)
    return runs
