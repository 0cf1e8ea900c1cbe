"""Ctrl-C on a sweep: once, what runs is finished and no other cell starts; twice, all ends now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ASKED_TO_STOP = "stopping when the cells under way have ended; Ctrl-C once more stops now"


@contextmanager
def finishing_at_interrupt(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """A context in which the first Ctrl-C only says so and is noted; the second is an interrupt as ever.

    Args:
        say: takes the line that says it.

    Yields:
        whether there was one.
    """
    asked = threading.Event()

    def first(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()
        signal.signal(signal.SIGINT, before)
        say(ASKED_TO_STOP)

    before = signal.getsignal(signal.SIGINT)
    # Who ignores it, or handles it in some other way, goes on doing so; only the main thread can ask for it.
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
