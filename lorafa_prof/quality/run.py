"""A learning run as learning.csv tells it: what was trained how, and each evaluation of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lorafa_prof.results.record import Value

RunStatus = Literal["ok", "error", "oom", "timeout", "diverged"]
Split = Literal["validation", "test"]
Seed = tuple[int | None, int | None]
"""The seed of the data's order and dropout, and that of A's draw; None where the method draws none."""


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation.

    Attributes:
        step: optimizer steps done.
        tokens: trained on so far, without padding.
        seconds: spent in training steps so far.
        split: None where a run ended without being evaluated.
        train_loss, eval_loss: nats a token, or of the classes.
        metric: from 0 to 1; None where the task has none or it was not formed.
        items: how many were evaluated.
    """

    step: int | None
    tokens: int | None
    seconds: float | None
    split: Split | None
    train_loss: float | None
    eval_loss: float | None
    metric: float | None
    items: int | None


@dataclass(frozen=True)
class LearningRun:
    """One run: a cell trained at one learning rate with one seed.

    Attributes:
        settings: the columns of results.csv that hold the cell's settings, those that are known.
        status, message: as its last row has them.
        evaluations: in the order of the file, one at least.
        peak_allocated_bytes: the most that any of its rows has.
        losses_csv: where the loss of each step is kept, if it is.
    """

    run_id: str
    cell_id: str
    settings: Mapping[str, Value]
    task: str
    metric_name: str
    learning_rate: float
    schedule: str
    seed: Seed
    status: RunStatus
    message: str
    evaluations: tuple[EvaluationRow, ...]
    peak_allocated_bytes: int | None
    losses_csv: Path

    def last(self, split: Split) -> EvaluationRow | None:
        """The last evaluation on a split; None where there was none."""
        return next((row for row in reversed(self.evaluations) if row.split == split), None)

    @property
    def steps(self) -> int:
        """Optimizer steps done."""
        return max((row.step for row in self.evaluations if row.step is not None), default=0)

    @property
    def seconds(self) -> float | None:
        """Seconds spent in training steps."""
        return max((row.seconds for row in self.evaluations if row.seconds is not None), default=None)

    @property
    def rank(self) -> int | None:
        """The rank of its adapters."""
        return cast("int | None", self.settings.get("rank"))
