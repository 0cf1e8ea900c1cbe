"""What groups of runs are judged by, as metrics of learning.csv, and their means over seeds."""

from __future__ import annotations

from collections.abc import Callable

from lorafa_prof.quality.group import Group
from lorafa_prof.quality.interval import CONFIDENCE, Interval, interval_of
from lorafa_prof.quality.run import LearningRun, Seed, Split
from lorafa_prof.results.columns import Column

QUALITY = Column(
    "quality", "learning", "points", "the task's metric at a run's end, in points of 100", "higher"
)
EVAL_LOSS = Column("eval_loss", "learning", "nats", "loss of the evaluation at a run's end", "lower")
TRAIN_SECONDS = Column("train_seconds", "learning", "s", "seconds that training took", "lower")
LEARNING_METRICS = (QUALITY, EVAL_LOSS, TRAIN_SECONDS)


def _quality(run: LearningRun, split: Split) -> float | None:
    row = run.last(split)
    return None if row is None or row.metric is None else 100 * row.metric


def _eval_loss(run: LearningRun, split: Split) -> float | None:
    row = run.last(split)
    return None if row is None else row.eval_loss


def _seconds(run: LearningRun, split: Split) -> float | None:
    del split
    return run.seconds


_VALUE: dict[str, Callable[[LearningRun, Split], float | None]] = {
    QUALITY.name: _quality,
    EVAL_LOSS.name: _eval_loss,
    TRAIN_SECONDS.name: _seconds,
}


def values_by_seed(group: Group, metric: Column, split: Split | None = None) -> dict[Seed, float]:
    """Return the metric of each finished run at the chosen rate, where it is known.

    Args:
        group: of runs.
        metric: one of `LEARNING_METRICS`.
        split: on which it is evaluated; None: the group's own.
    """
    read = _VALUE[metric.name]
    found = {run.seed: read(run, split or group.split) for run in group.runs}
    return {seed: value for seed, value in found.items() if value is not None}


def mean_of(group: Group, metric: Column, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the mean over the seeds; None where no run has the metric."""
    values = list(values_by_seed(group, metric).values())
    return interval_of(values, confidence) if values else None


def pairs_by_seed(one: Group, other: Group, metric: Column) -> list[tuple[float, float]]:
    """Return the metric of both for each seed that both were trained with, in the order of the seeds.

    Where they were not drawn by the same seeds (full fine-tuning draws no A), a pair is of the order of the
    data, and each of it the mean over the draws. Both are evaluated on one split.
    """
    split: Split = "test" if one.split == other.split == "test" else "validation"
    mine, its = (values_by_seed(group, metric, split) for group in (one, other))
    if mine.keys() != its.keys():
        mine, its = _mean_over_draws(mine), _mean_over_draws(its)
    return [(mine[seed], its[seed]) for seed in mine if seed in its]


def _mean_over_draws(values: dict[Seed, float]) -> dict[Seed, float]:
    draws: dict[Seed, list[float]] = {}
    for (seed, _), value in values.items():
        draws.setdefault((seed, None), []).append(value)
    return {seed: interval_of(found).mean for seed, found in draws.items()}
