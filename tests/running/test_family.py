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


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of those that are killed, known at once: that a process has ended shows some time later."""
    pids: list[int] = []
    kill = psutil.Process.kill

    def noted(process: psutil.Process) -> None:
        pids.append(process.pid)
        kill(process)

    monkeypatch.setattr(psutil.Process, "kill", noted)
    return pids


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
    """Whether it ends soon; else it is ended here, so that a test that fails leaves nothing behind."""
    deadline = time.monotonic() + 5
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    if not runs(pid):
        return True
    os.kill(pid, signal.SIGKILL)
    return False


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


#: A cell's process, whose sweep has ended when a pipe has. It starts a program of its group and
#: one in a session of its own.
BEREFT = """
import multiprocessing, os, subprocess, sys, time
from types import SimpleNamespace
from lorafa_prof.results.owner import this_process
from lorafa_prof.running import family
sweep = SimpleNamespace(sentinel=sys.stdin.fileno())
multiprocessing.parent_process = lambda: sweep
family.begin_family(this_process(), forked=False)
away = subprocess.Popen(["sleep", "600"], start_new_session=True)
own = subprocess.Popen(["sleep", "600"])
print(away.pid, own.pid, flush=True)
time.sleep(600)
"""


def test_a_cell_and_what_it_started_end_with_its_sweep(started):
    cell = start(started, [sys.executable, "-c", BEREFT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pids = [cell.pid, *map(int, cell.stdout.readline().split())]
    assert len(pids) == 3
    assert all(map(runs, pids))
    cell.stdin.close()
    assert [ended(pid) for pid in pids] == [True] * 3


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


def test_a_marked_program_is_ended_and_that_of_another_cell_is_not(started, killed):
    def marked(cell: int) -> subprocess.Popen[Any]:
        return start(started, SLEEP, env={**PLAIN, family.MARK: family._mark(ME, cell)})

    ours, theirs = marked(2**22 + 3), marked(2**22 + 4)
    family.end_family(ME, 2**22 + 3)
    assert killed == [ours.pid]
    assert ended(ours.pid)
    assert runs(theirs.pid)


def test_what_another_host_or_a_living_sweep_may_still_run_and_odd_marks_are_left_alone(started, killed):
    marks = [f"{2**22 + 1} 1.0 elsewhere 5", family._mark(ME, 5), f"x 1.0 {ME.host} 5", "a b", ""]
    others = [start(started, SLEEP, env={**PLAIN, family.MARK: mark}) for mark in marks]
    dead = start(started, SLEEP, env={**PLAIN, family.MARK: f"{2**22 + 1} 1.0 {ME.host} 5"})
    family.end_families_of_the_dead()
    assert not {process.pid for process in others} & set(killed)
    assert ended(dead.pid)  # by whichever run comes first: others may be under way here
    assert all(runs(process.pid) for process in others)


def test_what_is_gone_already_is_no_error_and_this_process_stays(started):
    process = start(started, ["true"])
    known = psutil.Process(process.pid)
    process.wait()
    family._kill([known, psutil.Process()])
    family._kill_group(process.pid)
    family.end_descendants(process.pid)
    family.end_family(ME, process.pid)
    assert not psutil.pid_exists(process.pid)
    assert psutil.Process().is_running()


def test_processes_that_cannot_be_looked_into_are_passed_over(monkeypatch):
    def environ(process: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil, "pids", lambda: [os.getpid(), 2**22 + 1])
    monkeypatch.setattr(psutil.Process, "environ", environ)
    monkeypatch.setattr(family, "MARK", "PATH")  # which every process has
    assert list(family._marked()) == []
