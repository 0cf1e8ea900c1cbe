"""A process that is killed at a chosen moment of the store's work."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

#: Moments are counted before and after each of these calls, by which files and folders are written.
WRITING_CALLS = frozenset(
    (
        "open",
        "BufferedWriter.write",
        "BufferedWriter.flush",
        "BufferedWriter.__exit__",
        "fsync",
        "ftruncate",
        "pwrite",
        "flock",
        "mkdir",
        "rename",
        "replace",
        "unlink",
        "close",
    )
)
_EVENTS = ("c_call", "c_return")

Say = Callable[[str], None]


def count_moments(work: Callable[[Say], None]) -> int:
    """Do `work` here and return how many moments it has."""
    moments = 0

    def note(frame: FrameType, event: str, function: Any) -> None:
        nonlocal moments
        moments += _is_moment(event, function)

    sys.setprofile(note)
    try:
        work(lambda text: None)
    finally:
        sys.setprofile(None)
    return moments


def killed_at(moment: int, work: Callable[[Say], None]) -> list[str]:
    """Do `work` in a process that is killed (SIGKILL) at its `moment`, counted from 1.

    Returns:
        What `work` had said by then.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work_until(moment, lambda: work(lambda text: _write(writing, text)))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"moment {moment}: it ended by itself"
    return said


def _write(pipe: int, text: str) -> None:
    os.write(pipe, f"{text}\n".encode())


def _work_until(moment: int, work: Callable[[], None]) -> None:
    left = moment

    def kill(frame: FrameType, event: str, function: Any) -> None:
        nonlocal left
        left -= _is_moment(event, function)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(kill)
        work()
    finally:
        os._exit(1)


def _is_moment(event: str, function: Any) -> bool:
    return event in _EVENTS and getattr(function, "__qualname__", "") in WRITING_CALLS
