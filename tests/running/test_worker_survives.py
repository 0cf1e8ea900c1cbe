"""Whatever a cell's process does, and whatever is done to it: one result, nothing of it left, no flood."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest
from cells import make_cell

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.results.owner import this_process
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import family, logs, scratch, worker
from lorafa_prof.running.worker import run_cell

CELL = make_cell()


def done(cell: Cell) -> CellResult:
    return CellResult(cell=cell, row={"cell_id": cell.cell_id, "status": "ok"})


def run(tmp_path: Path, work: Callable[[Cell], CellResult], timeout_s: float | None = 60) -> CellResult:
    result = run_cell(CELL, tmp_path / "log", timeout_s, work)
    assert multiprocessing.active_children() == []
    return result


def within(seconds: float, is_true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_true()


def waits_the_first_time(attempts: Path, cell: Cell) -> CellResult:
    with attempts.open("a") as file:
        file.write("x")
    if len(attempts.read_text()) == 1:
        time.sleep(600)
    return done(cell)


def kill_the_server(attempts: Path) -> None:
    assert within(60, attempts.exists)
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]


def test_a_cell_whose_server_is_killed_is_tried_once_more(tmp_path):
    attempts = tmp_path / "attempts"
    killer = threading.Thread(target=kill_the_server, args=(attempts,))
    killer.start()
    result = run(tmp_path, partial(waits_the_first_time, attempts), 120)
    killer.join()
    assert len(attempts.read_text()) == 2
    assert result.row["status"] == "ok"


def starts_others(pids: Path, end: str, cell: Cell) -> CellResult:
    sleep = ["sleep", "600"]
    own = subprocess.Popen(sleep)
    away = subprocess.Popen(sleep, start_new_session=True)
    detached = subprocess.run(
        [sys.executable, "-c", "import subprocess as s; print(s.Popen(['sleep', '600'], stdout=-3, stderr=-3,"
         " start_new_session=True).pid)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    pids.write_text(f"{own.pid} {away.pid} {detached.stdout}")
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "exit":
        sys.exit(3)
    if end == "thread":
        threading.Thread(target=time.sleep, args=(600,)).start()
    if end == "hang":
        time.sleep(600)
    return done(cell)


@pytest.mark.parametrize(
    ("end", "status"),
    [("return", "ok"), ("thread", "ok"), ("exit", "error"), ("kill", "error"), ("hang", "timeout")],
)
def test_what_a_cell_started_ends_with_it(tmp_path, end, status):
    pids = tmp_path / "pids"
    result = run(tmp_path, partial(starts_others, pids, end), 5 if end == "hang" else 60)
    assert result.row["status"] == status
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 3
    assert within(5, lambda: not any(runs(pid) for pid in started)), [runs(pid) for pid in started]


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_dead_sweep_left_is_swept_and_nothing_of_a_living_one(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    me = this_process()
    kept = [f"lorafa-prof-{me.pid}-{me.started:.0f}-abc", "lorafa-prof-of-another-kind", "other"]
    for name in [*kept, f"lorafa-prof-{2**22 + 1}-1-abc", f"lorafa-prof-{me.pid}-1-abc"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    scratch.remove_scratch_of_the_dead()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)

    marks = {
        "dead": f"{2**22 + 1} 1.0 {me.host} 5",
        "living": f"{me.pid} {me.started!r} {me.host} 5",
        "odd": "?",
    }
    started = {
        name: subprocess.Popen(["sleep", "600"], env={**os.environ, family.MARK: mark})
        for name, mark in marks.items()
    }
    try:
        family.end_families_of_the_dead()
        assert started["dead"].wait(5) == -signal.SIGKILL
        assert [started[name].poll() for name in ("living", "odd")] == [None, None]
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def raises_at_length(cell: Cell) -> CellResult:
    raise RuntimeError("x\x1b[31m" + "x" * 20_000_000)


def test_a_message_and_a_log_are_bounded(tmp_path):
    result = run(tmp_path, raises_at_length)
    message = str(result.row["message"])
    assert message.startswith("RuntimeError: x [31mxxx")
    assert message.endswith(f"(see {tmp_path / 'log'})")
    assert len(message) < 800
    log = (tmp_path / "log").read_text()
    assert len(log) < 2 * logs.KEPT_BYTES + 100
    assert log.startswith("Traceback (most recent call last)")
    assert "\n[lorafa-prof left out 1" in log
    assert log.rstrip().endswith("x")


def prints_for_ever(cell: Cell) -> CellResult:
    while True:
        print("again and again" * 1000)


def test_a_cell_that_fills_the_disk_with_its_log_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MOST_BYTES", 3 * logs.MIB)
    result = run(tmp_path, prints_for_ever)
    assert result.row["status"] == "error"
    assert "it printed more than" in str(result.row["message"])
    assert (tmp_path / "log").stat().st_size < 2 * logs.KEPT_BYTES + 100


def limits_its_files(cell: Cell) -> CellResult:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    print("more than ten bytes")
    return done(cell)


def test_a_limit_of_files_sizes_is_named(tmp_path):
    result = run(tmp_path, limits_its_files)
    assert result.row["status"] == "error"
    message = str(result.row["message"])
    assert message.startswith("its result could not be written to ")
    assert "File too large; make room there or raise the limit of files' sizes (ulimit -f)" in message


def test_a_full_tmpdir_is_named(tmp_path, monkeypatch):
    def full(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch.tempfile, "TemporaryDirectory", full)
    with pytest.raises(UsageError, match="temporary files cannot be written: No space left on device"):
        run(tmp_path, done)


def test_a_server_that_cannot_start_is_a_result(tmp_path, monkeypatch):
    starts = []

    class Process:
        def __init__(self, **options: object) -> None:
            pass

        def start(self) -> None:
            starts.append(1)
            raise EOFError("unexpected EOF")

    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(context, "Process", Process, raising=False)
    monkeypatch.setattr(worker, "process_context", lambda **options: context)
    result = run(tmp_path, done)
    assert result.row["status"] == "error"
    assert result.row["message"] == "its process could not be started, twice: EOFError: unexpected EOF"
    assert len(starts) == 2
