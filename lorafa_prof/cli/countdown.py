"""How far a command is with what takes long: a bar with the time to go on a terminal, and lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from lorafa_prof.one_line import one_line

if TYPE_CHECKING:
    from lorafa_prof.running.progress_bar import ProgressBar


class Countdown:
    """Is told how many are done, of how many, and the last one's name; a context.

    The time to go is the mean of those that are done times the number of those that are left.

    Args:
        what: what is done to each: "checking".
        lines: whether each that is done is a line, too, also where there is no terminal.
        clock: returns the time in seconds.
    """

    def __init__(
        self, what: str, *, lines: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._lines = lines
        self._clock = clock
        self._started = clock()
        self._bar: ProgressBar | None = None

    def __enter__(self) -> Countdown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def __call__(self, done: int, total: int, name: str) -> None:
        """Show it."""
        from lorafa_prof.running.progress_bar import time_to_go

        if self._bar is None:
            self._bar = self._begun(total)
        eta = time_to_go(self._clock() - self._started, done, total)
        self._bar.name(one_line(f"{self._what} {name}"))
        if self._lines and done:
            self._bar.say(one_line(f"[{done}/{total}] {name}"), eta)
        self._bar.move(done, eta)

    def _begun(self, total: int) -> ProgressBar:
        from rich.console import Console

        from lorafa_prof.running.progress_bar import ProgressBar

        return ProgressBar(total, Console(stderr=True)).__enter__()
