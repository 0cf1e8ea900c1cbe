"""The bar of a long command on a terminal; elsewhere there are lines alone."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

#: Told how many are done, of how many, and the name of the last one.
Tell = Callable[[int, int, str], None]


def tell_nobody(done: int, total: int, name: str) -> None:
    """A `Tell` for who does not want to know."""


def time_to_go(seconds_so_far: float, done: int, total: int) -> str:
    """Return how long it still takes, if the others take as long on average: "1:02:03 to go".

    Empty where nothing is left, or nothing tells.
    """
    left = total - done
    if not done or not left:
        return ""
    minutes, seconds = divmod(round(seconds_so_far / done * left), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    return f"{clock} to go"


class ProgressBar:
    """A bar that stays up to date below the lines that are said, as a context.

    Args:
        total: how many there are to do.
        console: where to write.
        unit: what they are, with a space before it; empty: it goes without saying.
    """

    def __init__(self, total: int, console: Console, unit: str = "") -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if console.is_terminal:
            self._progress = Progress(
                BarColumn(),
                TextColumn("{task.completed}/{task.total}" + unit),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[eta]}"),
                console=console,
                transient=True,
            )
            self._task = self._progress.add_task("", total=total, eta="")

    def __enter__(self) -> ProgressBar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def name(self, what: str) -> None:
        """Show what is under way."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=escape(what), refresh=True)

    def move(self, completed: int, eta: str) -> None:
        """Show how many are done, and how long the rest takes."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=completed, eta=eta, refresh=True)

    def say(self, line: str, eta: str) -> None:
        """Write a line above the bar; where there is none it has `eta` at its end."""
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            line = f"{line} ({eta})" if eta else line
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class OnBar:
    """What shows its progress on a bar, which is there as long as its context."""

    _bar: ProgressBar

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)
