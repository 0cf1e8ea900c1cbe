"""Runs that are alike but for learning rate and seeds, and the rate that is chosen for them.

A method is judged at its own best rate, chosen without a look at the test split: the rate whose mean over
seeds of the last evaluation on the validation split is best. The last and not the best of a run, since it is
the last state that is tested and kept. Where the task has no metric, or two rates are as good, the loss on
that split decides.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lorafa_prof.errors import UsageError
from lorafa_prof.quality.run import LearningRun, Seed, Split
from lorafa_prof.results.record import Value
from lorafa_prof.words.phrases import count, listed


@dataclass(frozen=True)
class Rate:
    """The runs of one learning rate.

    Attributes:
        finished: those that trained to their end, in the order of their seeds.
        diverged: those whose loss was no number any more.
        missing: those that failed otherwise, or are not at their end yet.
        validated: by which rates are chosen, the higher the better: the metric, if there is one, and the loss
            less than 0; None where nothing can be told.
    """

    learning_rate: float
    finished: tuple[LearningRun, ...]
    diverged: tuple[LearningRun, ...]
    missing: tuple[LearningRun, ...]
    validated: tuple[float, ...] | None = None

    @property
    def all_runs(self) -> tuple[LearningRun, ...]:
        """Every run at this rate."""
        return (*self.finished, *self.diverged, *self.missing)


@dataclass(frozen=True)
class Group:
    """A cell of the scenario, trained at several learning rates with several seeds.

    Attributes:
        settings: the columns of the cell's settings.
        rates: all that were tried, ascending.
        chosen: at which the cell is judged; None where no run tells which.
        chosen_by: "accuracy" or whatever the metric is, or "loss".
        notes: what a reader of its numbers must know.
    """

    cell_id: str
    settings: Mapping[str, Value]
    task: str
    metric_name: str
    rates: tuple[Rate, ...]
    chosen: Rate | None
    chosen_by: str
    notes: tuple[str, ...]

    @property
    def runs(self) -> tuple[LearningRun, ...]:
        """The finished runs at the chosen rate."""
        return self.chosen.finished if self.chosen else ()

    @property
    def split(self) -> Split:
        """On which it is judged: the test split, or where a run has none the one that chose its rate."""
        return "test" if self.runs and all(run.last("test") for run in self.runs) else "validation"

    @property
    def peak_allocated_bytes(self) -> int | None:
        """The peak while training, the largest of its seeds: with other data a step may be longer."""
        known = [run.peak_allocated_bytes for run in self.runs if run.peak_allocated_bytes is not None]
        return max(known, default=None)


def groups_of(runs: Sequence[LearningRun]) -> list[Group]:
    """Return the groups in the order of their first runs, each with its learning rate chosen.

    Raises:
        UsageError: two runs are alike in all that is known of them, seeds too.
    """
    tested = {run.task for run in runs if run.last("test")}
    alike: dict[tuple[str, ...], list[LearningRun]] = {}
    for run in runs:
        alike.setdefault((run.cell_id, run.task, run.schedule), []).append(run)
    for members in alike.values():
        _check_distinct(members)
    return [_group(members, members[0].task in tested) for members in alike.values()]


def _check_distinct(runs: Sequence[LearningRun]) -> None:
    seen: dict[tuple[float, Seed], str] = {}
    for run in runs:
        twin = seen.setdefault((run.learning_rate, run.seed), run.run_id)
        if twin != run.run_id:
            raise UsageError(
                f"runs '{twin}' and '{run.run_id}' have one cell, learning rate and seed: keep runs "
                "that were trained otherwise in folders of their own"
            )


def _group(runs: Sequence[LearningRun], tested: bool) -> Group:
    steps = max((run.steps for run in runs if run.status == "ok"), default=0)
    rates = [
        _rate(rate, [run for run in runs if run.learning_rate == rate], tested, steps)
        for rate in sorted({run.learning_rate for run in runs})
    ]
    by_metric = _mean_validated([run for rate in rates for run in rate.finished], "metric") is not None
    sound = [rate for rate in rates if rate.finished and not rate.diverged]
    candidates = sound or [rate for rate in rates if rate.finished]
    common = _common_seeds(candidates)
    scored = [_scored(rate, by_metric, common) for rate in candidates]
    known = [rate for rate in scored if rate.validated is not None]
    # Of rates that are as good in all the lower one.
    chosen = max(known, key=lambda rate: (rate.validated, -rate.learning_rate), default=None)
    first = runs[0]
    metric_name = next((run.metric_name for run in runs if run.metric_name), "")
    return Group(
        first.cell_id,
        first.settings,
        first.task,
        metric_name,
        tuple(rates),
        chosen,
        (metric_name or "metric") if by_metric else "loss",
        tuple(_notes(rates, chosen, candidates, common)),
    )


def _rate(rate: float, runs: Sequence[LearningRun], tested: bool, steps: int) -> Rate:
    """Sort out the runs of a rate; `tested`: to its end a run has a test, and `steps`."""
    diverged = [run for run in runs if run.status == "diverged"]
    finished = [
        run for run in runs if run.status == "ok" and run.steps == steps and (run.last("test") or not tested)
    ]
    missing = [run for run in runs if run not in finished and run not in diverged]
    return Rate(rate, _by_seed(finished), _by_seed(diverged), _by_seed(missing))


def _by_seed(runs: Sequence[LearningRun]) -> tuple[LearningRun, ...]:
    return tuple(
        sorted(runs, key=lambda run: (*(-1 if seed is None else seed for seed in run.seed), run.run_id))
    )


def _common_seeds(rates: Sequence[Rate]) -> set[Seed]:
    """The seeds that every rate has been trained with."""
    seeds = [{run.seed for run in rate.finished} for rate in rates]
    return set.intersection(*seeds) if seeds else set()


def _scored(rate: Rate, by_metric: bool, common: set[Seed]) -> Rate:
    """With its means over the seeds that all rates have, or where they have none in common over its own."""
    runs = [run for run in rate.finished if run.seed in common or not common]
    metric, loss = _mean_validated(runs, "metric"), _mean_validated(runs, "eval_loss")
    if by_metric and metric is not None:
        return replace(rate, validated=(metric, -math.inf if loss is None else -loss))
    return rate if by_metric or loss is None else replace(rate, validated=(-loss,))


def _mean_validated(runs: Sequence[LearningRun], name: Literal["metric", "eval_loss"]) -> float | None:
    """The mean of the last validations; None where one of them is not known."""
    values = [getattr(run.last("validation"), name, None) for run in runs]
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _notes(
    rates: Sequence[Rate], chosen: Rate | None, candidates: Sequence[Rate], common: set[Seed]
) -> list[str]:
    notes = []
    for rate in rates:
        at = f"at learning rate {rate.learning_rate:g}"
        if rate.diverged:
            notes.append(f"{count(len(rate.diverged), 'run')} diverged {at}")
        if rate.missing:
            notes.append(f"{count(len(rate.missing), 'run')} {at} failed or did not get to an end: left out")
    if chosen is None:
        return [*notes, "no learning rate is chosen: no finished run was evaluated on the validation split"]
    if chosen.diverged:
        notes.append("no learning rate is without a run that diverged")
    tried = [rate.learning_rate for rate in rates]
    if len(tried) == 1:
        notes.append(f"{chosen.learning_rate:g} is the one learning rate that was tried")
    elif chosen.learning_rate in (tried[0], tried[-1]):
        end, beyond = ("lowest", "lower") if chosen.learning_rate == tried[0] else ("highest", "higher")
        told = listed(f"{rate:g}" for rate in tried)
        notes.append(
            f"its learning rate {chosen.learning_rate:g} is the {end} of {told}: a {beyond} one may be better"
        )
    if len(candidates) > 1 and not common:
        notes.append("its learning rates were tried with different seeds")
    return notes
