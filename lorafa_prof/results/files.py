"""Writing files of results whole or not at all, with one line for what is wrong with a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lorafa_prof.errors import UsageError

#: The table of learning runs in a folder of results.
LEARNING_NAME = "learning.csv"

_PART_NAME = re.compile(r"\..+\.\d+\.part")


def write_atomically(path: Path, text: str | bytes) -> None:
    """Write `text`, as UTF-8, so that a reader sees the old file or the new one, never half of one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # as in _PART_NAME
    try:
        with part.open("wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_unfinished(out: Path) -> None:
    """Remove what killed runs were writing into `out` and the folders in it; nobody else may write there."""
    for folder in (out, *(path for path in out.iterdir() if path.is_dir())):
        for part in folder.glob(".*.part"):
            if _PART_NAME.fullmatch(part.name):
                part.unlink(missing_ok=True)


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """A context in which an error of the folder `out` becomes one line for the user.

    Raises:
        UsageError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write to '{out}': {error.strerror}; choose another with -o") from error
