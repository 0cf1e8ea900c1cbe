"""How far the answers are: a bar on a terminal, a line for each prediction elsewhere."""

from __future__ import annotations

import time

from rich.console import Console

from lorafa_prof.cell import Cell
from lorafa_prof.fitting.settings import ALWAYS, settings_of
from lorafa_prof.one_line import one_line
from lorafa_prof.running.prediction import UNLIMITED, Prediction
from lorafa_prof.running.progress_bar import OnBar, ProgressBar, time_to_go
from lorafa_prof.words.numbers import size


class FitProgress(OnBar):
    """Shows on stderr which prediction was made, and how many parts of the answers are left.

    How many predictions a part takes is not known before; the time to go is that of the parts that are done
    times the number of those that are left.

    Args:
        parts: how many there are.
        console: where to write.
    """

    def __init__(self, parts: int, console: Console) -> None:
        self._parts = parts
        self._on_terminal = console.is_terminal
        self._bar = ProgressBar(parts, console, " parts")
        self._started = time.monotonic()
        self._eta = ""

    def predicted(self, count: int, cell: Cell, capacity_bytes: int, prediction: Prediction) -> None:
        """Show a prediction."""
        if prediction.memory is None:
            told = f"out of memory in {prediction.failed_phase}"
        else:
            told = f"peak {size(prediction.memory.peak_allocated_bytes)}"
        limit = " without a limit" if capacity_bytes == UNLIMITED else ""
        settings = settings_of([cell]).shared.items()
        others = "".join(f" {key}={value}" for key, value in settings if key not in ALWAYS)
        line = one_line(f"{cell.gpu} {cell.label}{others}{limit}: {told}")
        if self._on_terminal:
            self._bar.name(line)
        else:
            self._bar.say(f"[{count}] {line}", self._eta)

    def part_done(self, done: int) -> None:
        """Show that so many parts are done."""
        self._eta = time_to_go(time.monotonic() - self._started, done, self._parts)
        self._bar.move(done, self._eta)
