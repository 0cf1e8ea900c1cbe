"""A cell's process and all that it starts: they end together, so that no orphan holds a GPU.

Known limits: a process that a cell's process started is found as its descendant (on Linux also where its own
parent has ended), by its group, or by a mark in its environment. One that leaves the group, loses its parent
and was never started as a program (a fork alone) is not found if the cell's process was killed at once.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

import psutil

from lorafa_prof.results.owner import Owner

#: The variable that marks a cell's process and the programs it starts: whose cell, and which process.
MARK = "LORAFA_PROF_CELL"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def begin_family(of: Owner, *, forked: bool) -> None:
    """Make this process, a cell's, the head of a family of its own, which ends when `of` does.

    Args:
        of: the process that runs the sweep.
        forked: from the server, with which it ends too.
    """
    if hasattr(os, "setsid"):
        with suppress(PermissionError):  # it is the head of its group already
            os.setsid()
    os.environ[MARK] = _mark(of, os.getpid())
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if forked:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    die_with_parent(_end_mine)


def die_with_parent(end: Callable[[], None] | None = None) -> None:
    """End this process when the sweep's ends, however that ends: no cell keeps a GPU for nobody.

    Args:
        end: called before; None: nothing is.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.sentinel, end), daemon=True).start()


def _exit_after(sentinel: int, end: Callable[[], None] | None) -> None:
    wait([sentinel])
    try:
        if end is not None:
            end()
    finally:
        os._exit(1)


def _end_mine() -> None:
    end_descendants()
    _kill_group(os.getpid())


def end_descendants(pid: int | None = None) -> None:
    """Kill all that the process `pid`, or this one, has started and that runs still."""
    with suppress(psutil.NoSuchProcess):
        _kill(psutil.Process(pid).children(recursive=True))


def end_family(of: Owner, pid: int) -> None:
    """Kill the cell's process `pid` of the sweep `of`, and all that is left of its family."""
    end_descendants(pid)
    _kill_group(pid)
    mark = _mark(of, pid)
    _kill(process for process, marked in _marked() if marked == mark)


def end_families_of_the_dead() -> None:
    """Kill what is left of cells whose sweep was killed, on this host."""
    _kill(process for process, mark in _marked() if _is_of_the_dead(mark))


def _mark(of: Owner, pid: int) -> str:
    return f"{of.pid} {of.started!r} {of.host} {pid}"


def _is_of_the_dead(mark: str) -> bool:
    try:
        pid, started, host, _ = mark.split(" ")
        return Owner(int(pid), host, float(started)).lives is False
    except ValueError:
        return False


def _marked() -> Iterable[tuple[psutil.Process, str]]:
    """Processes that were started as programs by a cell's process, with their marks."""
    sought = f"{MARK}=".encode()
    for pid in psutil.pids():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes()
            if sought in variables:
                process = psutil.Process(pid)
                yield process, process.environ().get(MARK, "")
        except (OSError, psutil.Error):  # another user's, gone, or no such folder on this system
            continue


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid != os.getpid():
                process.kill()


def _kill_group(pid: int) -> None:
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    """Linux's own calls; where they are missing, processes are found by the other ways."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
