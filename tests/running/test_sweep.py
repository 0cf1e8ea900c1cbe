from __future__ import annotations

import io
from pathlib import Path

import pytest
from cells import make_cell
from rich.console import Console

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import CellResults, Store
from lorafa_prof.results.table import read_table
from lorafa_prof.running import on_this_machine
from lorafa_prof.running.on_this_machine import OnThisMachine
from lorafa_prof.running.progress import SweepProgress
from lorafa_prof.running.sweep import cells_to_run, run_sweep


def cell(batch: int) -> Cell:
    return make_cell(batch=batch)


def result_of(one: Cell, status: str = "ok") -> CellResult:
    return CellResult(cell=one, row={"cell_id": one.cell_id, "status": status}, details={"big": [0]})


@pytest.mark.parametrize(
    ("rerun", "todo"),
    [("missing", [6]), ("failed", [2, 3, 4, 6]), ("all", [1, 2, 3, 4, 5, 6])],
)
def test_which_cells_are_run(rerun, todo):
    status = {1: "ok", 2: "error", 3: "timeout", 4: "skipped", 5: "oom"}
    results = {cell(batch).cell_id: result_of(cell(batch), word) for batch, word in status.items()}
    cells = [cell(batch) for batch in range(1, 7)]
    assert [one.batch for one in cells_to_run(cells, results, rerun)] == todo


def test_record_and_table_are_up_to_date_after_each_cell(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.prepare()
    cells = [cell(batch) for batch in (1, 2, 3)]
    ids = [one.cell_id for one in cells]
    results: CellResults = {ids[1]: result_of(cells[1])}
    seen: list[list[str]] = []

    def run_cell(
        one: Cell, log: Path, timeout_s: float | None, visible_gpus: str | None = None
    ) -> CellResult:
        assert log == store.log_file(one.cell_id)
        assert timeout_s == 5.0
        if (tmp_path / "results.csv").exists():
            seen.append(list(read_table(tmp_path)["cell_id"]))
        return result_of(one)

    monkeypatch.setattr(on_this_machine, "run_cell", run_cell)
    progress = SweepProgress(2, Console(file=io.StringIO()))
    run_sweep([cells[2], cells[0]], store, progress, results, OnThisMachine(), table_of=ids, timeout_s=5.0)
    assert seen == [[ids[1], ids[2]]]
    assert list(read_table(tmp_path)["cell_id"]) == ids
    kept = store.load(ids[0])
    assert kept is not None
    assert kept.details == {"big": [0]}, "the record has the details"
    assert results[ids[0]].details == {}, "memory has not"
