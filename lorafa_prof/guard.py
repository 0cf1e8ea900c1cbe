"""Code of others, methods and models, run so that nothing it raises ends a command as if all were well."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from lorafa_prof.errors import UsageError, described


class EndedByOthersError(UsageError):
    """Code of others tried to end the program: by `SystemExit`, a `KeyboardInterrupt`, `os._exit`, …"""


class _Exit(BaseException):
    """What `os._exit` raises in guarded code, so that no `except Exception` there takes it."""


@contextmanager
def guarded(whose: str) -> Iterator[None]:
    """A context for code of others: what would end the program becomes an error, and Ctrl-C is still Ctrl-C.

    Its exceptions pass as they are.

    Args:
        whose: names the code for people ("the method 'mine'").

    Raises:
        EndedByOthersError: the code raised what is no `Exception`, or called `os._exit`.
    """
    with _interrupts() as interrupted, _no_exit():
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and interrupted():
                raise
            raise EndedByOthersError(f"{whose} tried to end the program: {described(error)}") from error


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Tells whether someone pressed Ctrl-C meanwhile; only the main thread is told of it."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: False
        return
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> Any:
        pressed.append(number)
        return before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _no_exit() -> Iterator[None]:
    """`os._exit` raises where the guarded code calls it; a process forked meanwhile may end itself."""
    real, here = os._exit, (os.getpid(), threading.get_ident())

    def leave(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != here:
            real(status)
        raise _Exit(f"os._exit({status})")

    os._exit = leave
    try:
        yield
    finally:
        os._exit = real
