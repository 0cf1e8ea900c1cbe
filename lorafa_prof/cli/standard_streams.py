"""Standard output and error of the command, so that whatever is the matter with them ends in one line.

A full disk behind stdout, a closed one, a reader that went away and an encoding without "✓" are no faults of
the program, and none may cost a sweep.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

from lorafa_prof.errors import UsageError

#: What a shell reports of a program that writes to a pipe whose reader is gone: 128 + SIGPIPE.
READER_GONE_EXIT_CODE = 141
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class OutputError(UsageError):
    """Standard output cannot be written."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(f"cannot write to standard output: {reason}; what was measured is kept")


class ReaderGoneError(Exception):
    """Whoever read standard output has closed the pipe, as `head` does when it has enough."""


class _Output(io.FileIO):
    """Standard output: what goes wrong with it is told apart from what goes wrong with files."""

    def __init__(self, closed: bool) -> None:
        super().__init__(_STDOUT, "wb", closefd=False)
        self._was_closed = closed
        self._lost = False

    def write(self, data: object) -> int:
        if self._lost:  # said already; what is left in buffers goes nowhere
            return memoryview(data).nbytes  # type: ignore[arg-type]
        try:
            if self._was_closed:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError as error:
            self._lost = True
            raise ReaderGoneError from error
        except OSError as error:
            self._lost = True
            raise OutputError(error.strerror) from error


class _Errors(io.FileIO):
    """Standard error: what it cannot take is told nowhere, and stops nothing."""

    def __init__(self) -> None:
        super().__init__(_STDERR, "wb", closefd=False)

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def guard_streams() -> None:
    """Put such streams in the place of the process's own; those that a test or a caller put there stay."""
    closed = [_open_nowhere(descriptor) for descriptor in (_STDIN, _STDOUT, _STDERR)]
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(_Output(closed[_STDOUT]), sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Errors(), sys.stderr)


def flush_output() -> None:
    """Write what is still kept back.

    Raises:
        OutputError: it cannot be written.
        ReaderGoneError: nobody reads it.
    """
    if sys.stdout is not None:
        sys.stdout.flush()


def _open_nowhere(descriptor: int) -> bool:
    """Whether `descriptor` was closed; it then leads nowhere, lest the next file opened be taken for it."""
    try:
        os.fstat(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        else:
            os.set_inheritable(descriptor, True)
        return True
    return False


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    # "\u2713" for "✓" where the encoding has none: nothing is lost, and in JSON it even means the same.
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=before is None or raw.fileno() == _STDERR or os.isatty(raw.fileno()),
    )
