"""Which frame is the user's own code, and its line: the one place that decides it."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType

from lorafa_prof import package
from lorafa_prof.instruments.saved.saving_line import saving_line, shown_file

#: Top-level modules that are nobody's own code, also where they are run from a checkout.
_LIBRARIES = frozenset(
    {
        "accelerate",
        "bitsandbytes",
        "lightning",
        "liger_kernel",
        "lightning_fabric",
        "lorafa_prof",
        "peft",
        "pytorch_lightning",
        "torch",
        "transformers",
        "triton",
        "trl",
    }
)
_INSTALLED = ("site-packages", "dist-packages")
_FOLDERS = (
    package.FOLDER,
    *(Path(sysconfig.get_path(which)) for which in ("stdlib", "platstdlib", "scripts")),
)


def user_line(frame: FrameType | None = None) -> str:
    """Return "file:number" of the innermost frame that is the user's own code; "" if none is.

    It is told as `shown_file` does, so that it names no person.

    Args:
        frame: where to start, outwards; None: at the caller.
    """
    found = user_frame(frame if frame is not None else sys._getframe(1))
    return _told(found.f_code.co_filename, found.f_lineno) if found is not None else ""


def user_line_of(error: BaseException) -> str:
    """Return "file:number" of the user's innermost line that `error` came through; "" if there is none."""
    return _innermost(error, is_users)


def lines_here() -> str:
    """Both lines of what runs now, where one is the user's; else "": the code of a shipped model."""
    users = user_line(sys._getframe(1))
    return both_lines(users, saving_line()) if users else ""


def lines_of(error: BaseException) -> str:
    """Both lines that `error` came through last, where one is the user's; else ""."""
    users = user_line_of(error)
    return both_lines(users, _innermost(error, _is_shown)) if users else ""


def both_lines(users: str, models: str) -> str:
    """The user's line and the line of the model's code that it led to: "train.py:41 → transformers/…py:88".

    Where they are the same, or one of them is not known, it is one line.
    """
    return f"{users} → {models}" if users and models and users != models else users or models


def user_frame(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame from `frame` outwards that is the user's own code, or None.

    What runs a cell, or a process that multiprocessing began, ends the search: outside of that is who asked
    for it.
    """
    while frame is not None and not _runs_what_is_asked(frame):
        if is_users(frame):
            return frame
        frame = frame.f_back
    return None


def _runs_what_is_asked(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(("multiprocessing.", "lorafa_prof.running."))


def _innermost(error: BaseException, wanted: Callable[[FrameType], bool]) -> str:
    told, step = "", error.__traceback__
    while step is not None:
        if _runs_what_is_asked(step.tb_frame):
            told = ""
        elif wanted(step.tb_frame):
            told = _told(step.tb_frame.f_code.co_filename, step.tb_lineno)
        step = step.tb_next
    return told


def _is_shown(frame: FrameType) -> bool:
    return shown_file(frame.f_code.co_filename) is not None


def is_users(frame: FrameType) -> bool:
    """Whether a frame is the user's own code.

    It is none of what is installed, of Python's library, of this package, nor of `_LIBRARIES`. What Python
    was given without a file, with ``-c`` or at its prompt, is the user's.
    """
    return _is_users(frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")))


@cache
def _is_users(filename: str, module: str) -> bool:
    if module.partition(".")[0] in _LIBRARIES:
        return False
    if filename.startswith("<"):
        return module == "__main__" and not filename.startswith("<frozen")
    path = Path(filename).absolute()
    if any(part in path.parts for part in _INSTALLED):
        return False
    return not any(path.is_relative_to(folder) for folder in _FOLDERS)


def _told(filename: str, number: int) -> str:
    return f"{shown_file(filename) or Path(filename).name}:{number}"
