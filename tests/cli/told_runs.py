"""`lorafa-prof run` with cells that are not measured but told what to give."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.cell import Cell
from lorafa_prof.cli.main import main
from lorafa_prof.results.provenance import environment
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns

SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method:
  - full-ft
  - {name: lora, rank: [2, 4]}
batch: 1
seq: 8
dtype: fp32
device: cpu
"""
LABELS = ["tiny-llama full-ft b1 s8", "tiny-llama lora r2 b1 s8", "tiny-llama lora r4 b1 s8"]


class Runs:
    """Calls `lorafa-prof run s.yaml`; cells give what `status` says of their label, else ok."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.status: dict[str, str | BaseException] = {}
        self.measured: list[Cell] = []
        self.environment = environment("cpu")
        self.out = self.err = ""

    def cell(
        self, cell: Cell, log: Path, timeout_s: float | None, visible_gpus: str | None = None
    ) -> CellResult:
        status = self.status.get(cell.label, "ok")
        if isinstance(status, BaseException):
            raise status
        self.measured.append(cell)
        row: dict[str, Any] = {**setting_columns(cell), "status": status}
        if status == "ok":
            row |= {"activation_bytes": 2**20, "peak_allocated_bytes": 2**21, "step_ms_median": 1.5}
        else:
            row |= {"message": f"told to give {status}"}
        return CellResult(cell=cell, row=row, environment=self.environment)

    def __call__(self, *arguments: str, name: str = "s.yaml") -> int:
        self.measured.clear()
        with pytest.raises(SystemExit) as ended:
            main(["run", name, *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    @property
    def labels(self) -> list[str]:
        return [cell.label for cell in self.measured]


def table(out: str = "out/mine") -> list[dict[str, str]]:
    with Path(out, "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def provenance(out: str = "out/mine") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(out, "provenance.json").read_text())
    return loaded


def record(run: Runs, label: str) -> Path:
    (cell,) = (cell for cell in run.measured if cell.label == label)
    return Path("out/mine/cells", f"{cell.cell_id}.json")
