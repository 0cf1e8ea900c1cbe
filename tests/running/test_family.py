"""Each way in which what a cell started is found, alone: what one finds, the others do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from lorafa_prof.results.owner import this_process
from lorafa_prof.running import family

ME = this_process()
SLEEP = ["sleep", "600"]
#: Without the mark that its parent may have.
PLAIN = {name: value for name, value in os.environ.items() if name != family.MARK}

BEGIN = """
import ctypes, json, os, sys
from lorafa_prof.results.owner import this_process
from lorafa_prof.running import family
family.begin_family(this_process(), forked=sys.argv[1] == "forked")
def asked(option):
    value = ctypes.c_int()
    ctypes.CDLL(None).prctl(option, ctypes.byref(value))
    return value.value
print(json.dumps({
    "heads": os.getpgid(0) == os.getpid(), "mark": os.environ[family.MARK], "subreaper": asked(37),
    "signal": asked(2), "pid": os.getpid(),
}))
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[Any]]]:
    processes: list[subprocess.Popen[Any]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def start(started: list[subprocess.Popen[Any]], command: list[str], **given: Any) -> subprocess.Popen[Any]:
    process = subprocess.Popen(command, **{"env": PLAIN, "start_new_session": True, "text": True, **given})
    started.append(process)
    return process


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not runs(pid)


def starts_another(session: bool, then: str) -> list[str]:
    """A program that starts one more, without a mark, and says its id."""
    code = f"import subprocess as s, time\nother = s.Popen({SLEEP}, start_new_session={session}, stdout=-3)\n"
    return [sys.executable, "-c", f"{code}print(other.pid, flush=True)\n{then}"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's own calls")
@pytest.mark.parametrize("how", ["forked", "afresh"])
def test_a_cells_process_is_the_head_of_a_marked_family(how):
    # Started as the head of no group, by a shell that is one.
    done = subprocess.run(
        [sys.executable, "-c", BEGIN, how], capture_output=True, text=True, check=True, env=PLAIN
    )
    said = json.loads(done.stdout)
    assert said["heads"]
    assert said["mark"].endswith(f" {said['pid']}")
    assert said["subreaper"] == 1
    assert said["signal"] == (signal.SIGKILL if how == "forked" else 0)


def test_a_descendant_in_a_session_of_its_own_is_ended(started):
    head = start(started, starts_another(True, "time.sleep(600)"), stdout=subprocess.PIPE)
    pid = int(head.stdout.readline())
    family.end_family(ME, head.pid)
    assert ended(pid)


def test_one_of_the_group_whose_parent_is_gone_is_ended(started):
    head = start(started, starts_another(False, "pass"), stdout=subprocess.PIPE)
    pid = int(head.stdout.readline())
    head.wait()
    assert runs(pid)
    family.end_family(ME, head.pid)
    assert ended(pid)


def test_a_marked_program_is_ended_and_that_of_another_cell_is_not(started):
    def marked(cell: int) -> subprocess.Popen[Any]:
        return start(started, SLEEP, env={**PLAIN, family.MARK: f"{ME.pid} {ME.started!r} {ME.host} {cell}"})

    ours, theirs = marked(2**22 + 3), marked(2**22 + 4)
    family.end_family(ME, 2**22 + 3)
    assert ended(ours.pid)
    assert runs(theirs.pid)


def test_what_another_host_may_still_run_and_odd_marks_are_left_alone(started):
    marks = [f"{2**22 + 1} 1.0 elsewhere 5", f"x 1.0 {ME.host} 5", "a b", ""]
    others = [start(started, SLEEP, env={**PLAIN, family.MARK: mark}) for mark in marks]
    dead = start(started, SLEEP, env={**PLAIN, family.MARK: f"{2**22 + 1} 1.0 {ME.host} 5"})
    family.end_families_of_the_dead()
    assert ended(dead.pid)
    assert all(runs(process.pid) for process in others)


def test_what_is_gone_already_is_no_error_and_this_process_stays(started):
    process = start(started, ["true"])
    known = psutil.Process(process.pid)
    process.wait()
    family._kill([known, psutil.Process()])
    family._kill_group(process.pid)
    family.end_descendants(process.pid)
    family.end_family(ME, process.pid)


def test_processes_that_cannot_be_looked_into_are_passed_over(monkeypatch):
    def environ(process: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil, "pids", lambda: [os.getpid(), 2**22 + 1])
    monkeypatch.setattr(psutil.Process, "environ", environ)
    monkeypatch.setattr(family, "MARK", "PATH")  # which every process has
    assert list(family._marked()) == []
