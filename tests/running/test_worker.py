from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cells import make_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import scratch as module
from lorafa_prof.running.worker import run_cell

FOREVER = Steps(warmup=1, timed=10**7)


def cell(**settings: Any) -> Cell:
    fields = {"seq": 8, "steps": Steps(warmup=1, timed=1), **settings}
    return make_cell("full-ft", model="tiny-llama", **fields)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "cell.log"


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    there = partial(tempfile.TemporaryDirectory, dir=scratch)
    named = SimpleNamespace(TemporaryDirectory=there, gettempdir=lambda: str(scratch))
    monkeypatch.setattr(module, "tempfile", named)
    yield
    assert multiprocessing.active_children() == []
    assert list(scratch.iterdir()) == []


def assert_no_metrics(result: CellResult) -> None:
    assert result.row["cell_id"] == result.cell.cell_id
    assert result.row["model"] == "tiny-llama"
    assert "activation_bytes" not in result.row
    assert "step_ms_median" not in result.row


def test_a_cell_gives_its_result_and_its_output_goes_to_the_log(log, capfd):
    log.write_text("of an earlier run")
    result = run_cell(cell(), log, None)
    assert result.row["status"] == "ok"
    assert result.row["activation_bytes"] > 0
    assert result.cell == cell()
    assert result.environment["device"] == "cpu"
    seconds = result.details["seconds"]
    assert 0 < seconds["build"] < seconds["total"]
    assert "earlier" not in log.read_text()
    assert capfd.readouterr() == ("", "")


def test_what_is_wrong_with_a_cell_is_its_message(log):
    result = run_cell(cell(optimizer="adam"), log, None)
    assert result.row["status"] == "error"
    assert str(result.row["message"]).startswith("unknown optimizer 'adam'")
    assert_no_metrics(result)


def test_an_exception_is_one_line_with_the_log_that_has_its_traceback(log, capfd):
    # The command line refuses such a batch; here it stands for a bug.
    result = run_cell(cell(batch=-1), log, None)
    assert result.row["status"] == "error"
    assert str(result.row["message"]).startswith("RuntimeError: ")
    assert str(result.row["message"]).endswith(f"(see {log})")
    assert "\n" not in str(result.row["message"])
    assert "Traceback (most recent call last)" in log.read_text()
    assert_no_metrics(result)
    assert capfd.readouterr() == ("", "")


def test_a_cell_that_takes_too_long_is_ended(log):
    start = time.monotonic()
    result = run_cell(cell(steps=FOREVER), log, 1.5)
    assert result.row["status"] == "timeout"
    assert result.row["message"] == "no result within 1.5 s"
    assert time.monotonic() - start < 60
    assert_no_metrics(result)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed by SIGKILL (the host ran out of memory?)"),
        (signal.SIGSEGV, "killed by SIGSEGV"),
        (signal.SIGRTMIN + 1, f"killed by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_a_process_that_is_killed_is_a_row_with_the_signal_and_the_log(log, number, words):
    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if log.exists() and (children := multiprocessing.active_children()):
                time.sleep(0.3)
                os.kill(children[0].pid, number)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill)
    killer.start()
    result = run_cell(cell(steps=FOREVER), log, 100)
    killer.join()
    assert result.row["status"] == "error"
    assert result.row["message"] == f"the cell's process died: {words}; its log is {log}"
    assert_no_metrics(result)
    if number == signal.SIGSEGV:
        assert "Segmentation fault" in log.read_text(), "faulthandler says where it was"


def tell_gpus(cell: Cell) -> CellResult:
    return CellResult(cell=cell, row={"status": "ok", "message": os.environ.get("CUDA_VISIBLE_DEVICES")})


def test_a_cell_sees_the_gpus_that_it_is_given_and_no_other_sees_them(log, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    seen = [run_cell(cell(), log, None, tell_gpus, gpus).row["message"] for gpus in ("GPU-a", "1,2", None)]
    assert seen == ["GPU-a", "1,2", None]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
