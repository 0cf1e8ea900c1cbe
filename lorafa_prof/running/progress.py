"""Showing how far a sweep is: one line that stays up to date, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rich.console import Console

from lorafa_prof.cell import Cell
from lorafa_prof.one_line import one_line
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.progress_bar import OnBar, ProgressBar, time_to_go
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


class SweepProgress(OnBar):
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
        self._labels = labels or {}
        self._clock = clock
        self._started = clock()
        self._done = 0
        self._bar = ProgressBar(total, console)

    def cell_started(self, cell: Cell) -> None:
        """Show the cell whose process is about to start."""
        self._bar.name(self._label(cell))

    def cell_ended(self, result: CellResult) -> None:
        """Show the result of a cell."""
        self._done += 1
        eta = self._eta()
        self._bar.say(
            one_line(f"[{self._done}/{self._total}] {self._label(result.cell)}: {outcome(result)}"), eta
        )
        self._bar.move(self._done, eta)

    def _label(self, cell: Cell) -> str:
        return one_line(self._labels.get(cell.cell_id, cell.label))

    def _eta(self) -> str:
        return time_to_go(self._clock() - self._started, self._done, self._total)
