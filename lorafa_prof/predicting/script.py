"""The script that is predicted: which it is, and running it as Python would."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lorafa_prof.errors import UsageError


@dataclass(frozen=True)
class Script:
    """A command that runs Python code.

    Attributes:
        target: a file, or the name of a module.
        is_module: whether it is a module, as with ``python -m``.
        arguments: what it is given.
    """

    target: str
    is_module: bool
    arguments: tuple[str, ...]

    def run(self) -> None:
        """Run it in this process as ``__main__``, with its arguments and its folder in the path."""
        with self._as_started():
            if self.is_module:
                runpy.run_module(self.target, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(self.target, run_name="__main__")

    @contextmanager
    def _as_started(self) -> Iterator[None]:
        argv, path = sys.argv, sys.path[:]
        sys.argv = [self.target, *self.arguments]
        sys.path.insert(0, os.getcwd() if self.is_module else str(Path(self.target).resolve().parent))  # noqa: PTH109
        try:
            yield
        finally:
            sys.argv, sys.path[:] = argv, path


def script_of(command: Sequence[str]) -> Script:
    """Return the script in ``python train.py ARGS``, ``python -m module ARGS`` or ``train.py ARGS``.

    Raises:
        UsageError: there is no such script, or another Python is named than the one that runs this.
    """
    if not command:
        raise UsageError(
            "name the script after --, such as: lorafa-prof predict -- python train.py --lr 1e-4"
        )
    rest = list(command)
    if _is_python(rest[0]):
        _check_python(rest.pop(0))
    rest = [each for index, each in enumerate(rest) if not (each == "-u" and index == 0)]
    if rest[:1] == ["-m"]:
        return _module(rest[1:])
    if not rest or rest[0].startswith("-"):
        raise UsageError(
            f"{' '.join(command)}: predict runs `python FILE ARGS` and `python -m MODULE ARGS`, "
            "without other options of Python"
        )
    if not Path(rest[0]).is_file():
        raise UsageError(f"{rest[0]}: there is no such script (predict runs Python files and modules)")
    return Script(rest[0], False, tuple(rest[1:]))


def _module(rest: Sequence[str]) -> Script:
    if not rest:
        raise UsageError("python -m: name a module")
    name = rest[0]
    try:
        found = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        found = False
    if not found and not Path(*name.split(".")).with_suffix(".py").is_file():
        raise UsageError(f"python -m {name}: there is no such module here")
    return Script(name, True, tuple(rest[1:]))


def _is_python(word: str) -> bool:
    name = Path(word).name
    return name == "python" or (name.startswith("python") and name[6:].replace(".", "").isdigit())


def _check_python(word: str) -> None:
    """A Python that is named by its path must be this one; "python" is."""
    if os.sep in word and Path(word).resolve() != Path(sys.executable).resolve():
        raise UsageError(
            f"{word} is not the Python that lorafa-prof runs in ({sys.executable}); "
            "install lorafa-prof beside the script's packages, and say `python`"
        )
