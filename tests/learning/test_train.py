"""Runs from beginning to end, in this process."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import make_cell
from learning.toy_task import open_toys_only, toy_run
from safetensors.torch import load_file

from lorafa_prof.cell import Cell
from lorafa_prof.learning import train
from lorafa_prof.learning.files import RunFiles
from lorafa_prof.learning.record import RunRecord, read_record
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.learning.work import LAST_ROW, learn_cell
from lorafa_prof.results.record import CellResult


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    open_toys_only(monkeypatch)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "learning").mkdir()
    return tmp_path


def tiny(method: str = "lora-fa", model: str = "tiny-llama", **settings: Any) -> Cell:
    options = settings.pop("options", {"rank": 4, "alpha": 4.0, "targets": "all-linear", "dropout": 0.1})
    fields: dict[str, Any] = {"batch": 4, "seq": 12, "model": model, **settings}
    return make_cell(method, options=options if method != "full-ft" else {}, **fields)


def learned(run: LearningRun, out: Path) -> CellResult:
    return learn_cell(run.cell, run.model_dump_json(), str(out))


def kept(run: LearningRun, out: Path) -> RunRecord:
    record = read_record(RunFiles(out, run.run_id))
    assert record is not None
    return record


def losses(run: LearningRun, out: Path) -> list[dict[str, str]]:
    with RunFiles(out, run.run_id).losses.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
def test_a_run_learns_and_keeps_what_it_found(method: str, out: Path) -> None:
    run = toy_run(tiny(method), steps=60, evaluate_every=30, learning_rate=1e-2)
    assert learned(run, out).row["status"] == "ok"
    rows = kept(run, out).rows
    assert [(row["step"], row["split"]) for row in rows] == [
        (0, "validation"), (30, "validation"), (60, "validation"), (60, "test"),
    ]  # fmt: skip
    first, last = rows[0], rows[2]
    assert last["eval_loss"] < first["eval_loss"] - 0.5  # type: ignore[operator]
    assert last["metric"] > first["metric"]  # type: ignore[operator]
    assert last["epoch"] == 60 * 4 / 20
    assert last["metric_name"] == "accuracy"
    assert last["activation_bytes"] > 0  # type: ignore[operator]
    found = losses(run, out)
    assert [int(row["step"]) for row in found] == list(range(1, 61))
    later = [float(row["loss"]) for row in found[30:]]
    assert rows[2]["train_loss"] == pytest.approx(math.fsum(later) / 30)
    assert int(found[-1]["tokens"]) == last["tokens"]
    assert float(found[-1]["seconds"]) == last["seconds"]
    files = RunFiles(out, run.run_id)
    assert not files.checkpoint.exists()
    assert sum(t.numel() for t in load_file(files.trained).values()) == last["params_trainable"]
