"""Showing how far a sweep is: one line that stays up to date, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lorafa_prof.cell import Cell
from lorafa_prof.one_line import one_line
from lorafa_prof.results.record import CellResult
from lorafa_prof.words.numbers import size_or_dash


def outcome(result: CellResult) -> str:
    """Return what came of a cell, in a few words."""
    row = result.row
    if row["status"] != "ok":
        where = f" in {row['failed_phase']}" if row.get("failed_phase") else ""
        return f"{row['status']}{where}: {row.get('message', '')}"
    parts = [
        f"peak {size_or_dash(row.get('peak_allocated_bytes'))}",
        f"held {size_or_dash(row.get('activation_bytes'))}",
    ]
    if isinstance(step_ms := row.get("step_ms_median"), float):
        parts.append(f"{step_ms:.1f} ms/step")
    return ", ".join(parts)


class SweepProgress:
    """Shows the progress of `total` cells on stderr: the running cell, the last result, the time to go.

    The time to go is the mean of the cells measured in this run times the number of cells that are left.

    Args:
        total: how many cells will be run.
        console: where to write; a line stays up to date only on a terminal.
        labels: names of cells, by id; a cell that has none here is shown by its own label.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        total: int,
        console: Console,
        labels: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._console = console
        self._labels = labels or {}
        self._clock = clock
        self._started = clock()
        self._done = 0
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> SweepProgress:
        if self._console.is_terminal:
            self._progress = Progress(
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[eta]}"),
                console=self._console,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=self._total, eta="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def cell_started(self, cell: Cell) -> None:
        """Show the cell whose process is about to start."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=escape(self._label(cell)), refresh=True)

    def cell_ended(self, result: CellResult) -> None:
        """Show the result of a cell."""
        self._done += 1
        eta = self._eta()
        line = one_line(f"[{self._done}/{self._total}] {self._label(result.cell)}: {outcome(result)}")
        if self._progress is not None and self._task is not None:
            self._progress.console.print(line, markup=False, highlight=False)
            self._progress.update(self._task, completed=self._done, eta=eta)
        else:
            line = f"{line} ({eta})" if eta else line
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _label(self, cell: Cell) -> str:
        return one_line(self._labels.get(cell.cell_id, cell.label))

    def _eta(self) -> str:
        left = self._total - self._done
        if not left:
            return ""
        return time_to_go((self._clock() - self._started) / self._done * left)


def time_to_go(seconds: float) -> str:
    """Return how long it still takes: "1:02:03 to go"."""
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}:{seconds_left:02d}" if hours else f"{minutes}:{seconds_left:02d}"
    return f"{clock} to go"
