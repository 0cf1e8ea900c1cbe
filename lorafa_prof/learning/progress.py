"""Showing how far learning runs are: one line that stays up to date, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rich.console import Console

from lorafa_prof.learning.record import RunRecord, Value
from lorafa_prof.one_line import one_line
from lorafa_prof.running.progress_bar import OnBar, ProgressBar, time_to_go


def evaluation_text(row: Mapping[str, Value]) -> str:
    """Return what an evaluation found, or how a run ended, in a few words."""
    if row.get("status") != "ok":
        return f"{row['status']}: {row.get('message') or ''}"
    parts = [f"{row['split']} of step {row['step']}:"]
    if isinstance(row.get("metric"), float):
        parts.append(f"{row['metric_name']} {row['metric']:.4f},")
    if isinstance(row.get("eval_loss"), float):
        parts.append(f"loss {row['eval_loss']:.4f},")
    return " ".join(parts).rstrip(",")


class LearningProgress(OnBar):
    """Shows on stderr the runs under way, each evaluation, and the time to go.

    The time to go is that of the steps done by now, a mean over all of them, times the steps that are left.

    Args:
        steps: of each run that is to be trained, by its id; those done by earlier commands left out.
        labels: what runs are called, by id.
        console: where to write; a line stays up to date only on a terminal.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        steps: Mapping[str, int],
        labels: Mapping[str, str],
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = dict(steps)
        self._labels = labels
        self._clock = clock
        self._started = clock()
        self._done = dict.fromkeys(steps, 0)
        self._ended = 0
        self._told: dict[str, int] = {}
        self._bar = ProgressBar(sum(steps.values()), console, " steps")

    def run_started(self, run_id: str, evaluations: int) -> None:
        """Show the run whose process is about to start; so many evaluations of it are known already."""
        self._told[run_id] = evaluations
        self._bar.name(one_line(self._labels[run_id]))

    def looked(self, run_id: str, done: int, record: RunRecord | None) -> None:
        """Show how far a run is: steps done by this command, and evaluations that were not told yet."""
        self._done[run_id] = min(max(done, self._done[run_id]), self._steps[run_id])
        rows = record.rows if record is not None else []
        for row in rows[self._told[run_id] :]:
            self._say(run_id, evaluation_text(row))
        self._told[run_id] = max(len(rows), self._told[run_id])
        self._bar.move(sum(self._done.values()), self._eta())

    def run_ended(self, run_id: str, record: RunRecord) -> None:
        """Show what was not told yet of a run that goes on no more."""
        self._ended += 1
        self.looked(run_id, self._steps[run_id], record)

    def _say(self, run_id: str, told: str) -> None:
        line = one_line(f"[{self._ended}/{len(self._steps)}] {self._labels[run_id]}: {told}")
        self._bar.say(line, self._eta())

    def _eta(self) -> str:
        so_far = self._clock() - self._started
        return time_to_go(so_far, sum(self._done.values()), sum(self._steps.values()))
