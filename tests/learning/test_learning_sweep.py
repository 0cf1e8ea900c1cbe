"""Several runs, each in a process of its own, and the table that is made of them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cells import make_cell
from learning.toy_task import learn_toy, toy_run
from rich.console import Console

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.learning.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from lorafa_prof.learning.files import RunFiles
from lorafa_prof.learning.progress import LearningProgress
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.sweep import Records, other_runs, read_records, runs_to_train, train_runs
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns

CELL = make_cell("lora-fa", model="tiny-llama", options={"rank": 2, "targets": "q_proj"}, batch=4, seq=8)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for folder in ("learning", "logs"):
        (tmp_path / folder).mkdir()
    return tmp_path


def train(
    runs: list[LearningRun],
    out: Path,
    *,
    rerun: Any = "missing",
    work: Callable[..., CellResult] = learn_toy,
    timeout_s: float | None = None,
    max_failures: int | None = None,
) -> tuple[Records, str]:
    """Train those that are to do; return what is kept of all, and what was said."""
    records = read_records(out, runs, discard=False)
    todo = runs_to_train(runs, records, rerun)
    told = io.StringIO()
    labels = {run.run_id: run.label_as("net") for run in runs}
    with LearningProgress({run.run_id: 4 for run in todo}, labels, Console(file=told)) as progress:
        limits: dict[str, Any] = {"timeout_s": timeout_s, "max_failures": max_failures}
        train_runs(todo, out, progress, records, table_of=runs, work=work, **limits)
    return records, told.getvalue()


def table(out: Path) -> list[dict[str, str]]:
    with (out / "learning.csv").open() as file:
        return list(csv.DictReader(file))


def dying(cell: Cell, run_json: str, out: str, at_once: int = 1) -> CellResult:
    """Trains until after the first checkpoint, and is killed."""
    from lorafa_prof.learning import train as module

    one_step = module.Training._one_step

    def until(self: module.Training, number: int) -> int:
        if number == 3:
            import os

            os._exit(9)
        return one_step(self, number)

    module.Training._one_step = until  # type: ignore[method-assign]
    return learn_toy(cell, run_json, out)


def sleeping(cell: Cell, run_json: str, out: str, at_once: int = 1) -> CellResult:
    time.sleep(60)
    raise AssertionError


def test_runs_their_rows_and_what_is_left_to_do(out: Path) -> None:
    runs = [
        toy_run(CELL, steps=4, evaluate_every=2, learning_rate=rate, seed=seed)
        for rate, seed in ((1e-2, 0), (1e-2, 1), (1e30, 0))
    ]
    records, told = train(runs, out)
    assert [records[run.run_id].status for run in runs] == ["ok", "ok", "diverged"]
    rows = table(out)
    assert list(rows[0]) == [*setting_columns(CELL), *RUN_COLUMNS, *EVALUATION_COLUMNS]
    assert {row["cell_id"] for row in rows} == {CELL.cell_id}
    assert [row["run_id"] for row in rows[:4]] == [runs[0].run_id] * 4
    assert [row["split"] for row in rows[:4]] == ["validation", "validation", "validation", "test"]
    last = rows[-1]
    assert (last["status"], last["metric"], last["learning_rate"]) == ("diverged", "", "1e+30")
    assert last["message"].startswith(f"the loss of step {last['step']} is ")
    assert "lr 0.01 seed 1 draw 0: test of step 4: accuracy " in told
    assert "diverged: the loss of step" in told
    assert "to go)" in told
    assert runs_to_train(runs, records, "failed") == []
    assert runs_to_train(runs, records, "all") == runs
    assert other_runs(out, runs[1:]) == [runs[0].run_id]
    before = (out / "learning.csv").read_bytes()
    train(runs, out)
    assert (out / "learning.csv").read_bytes() == before


def test_a_run_whose_process_dies_is_a_row_and_goes_on_when_it_is_asked_to(out: Path) -> None:
    run = toy_run(CELL, steps=6, evaluate_every=2)
    records, _ = train([run], out, work=dying)
    assert records[run.run_id].status == "error"
    assert "the cell's process died" in records[run.run_id].message
    assert [(row["status"], row["step"]) for row in table(out)] == [("ok", "0"), ("ok", "2"), ("error", "2")]
    assert runs_to_train([run], records, "missing") == []
    records, _ = train([run], out, rerun="failed")
    assert records[run.run_id].status == "ok"
    assert [row["step"] for row in table(out)] == ["0", "2", "4", "6", "6"]


def test_a_run_that_takes_too_long_is_ended(out: Path) -> None:
    run = toy_run(CELL, steps=4)
    records, _ = train([run, toy_run(CELL, seed=1)], out, work=sleeping, timeout_s=0.5, max_failures=1)
    assert {run_id: record.status for run_id, record in records.items()} == {run.run_id: "timeout"}
    assert table(out)[-1]["message"] == "no result within 0.5 s"


def test_a_damaged_record_is_one_line_unless_the_run_is_trained_anew(out: Path) -> None:
    run = toy_run(CELL)
    RunFiles(out, run.run_id).record.write_text("{")
    with pytest.raises(UsageError, match="damaged or of another version of lorafa-prof; --rerun all"):
        read_records(out, [run], discard=False)
    assert read_records(out, [run], discard=True) == {}


def test_a_checkpoint_that_is_damaged_or_of_another_run_is_not_gone_on_from(out: Path) -> None:
    run, other = (toy_run(CELL, steps=4, evaluate_every=2, seed=seed) for seed in (0, 1))
    train([other], out, work=dying)
    file = RunFiles(out, run.run_id).checkpoint
    for content in (b"nonsense", RunFiles(out, other.run_id).checkpoint.read_bytes()):
        file.write_bytes(content)
        records, _ = train([run], out, rerun="failed")
        assert "cannot be gone on from: " in records[run.run_id].message
        assert "--rerun all trains the run anew" in records[run.run_id].message
