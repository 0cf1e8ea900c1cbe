"""Explaining cells, with what would make them smaller, several predictions at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

from lorafa_prof.errors import LorafaProfError, UsageError, first_line
from lorafa_prof.explaining.explanation import Explanation, by_record, by_twin, settings_of, twin_of
from lorafa_prof.explaining.predicted import PredictedStep, predicted_step
from lorafa_prof.explaining.remedies import remedies_for
from lorafa_prof.explaining.subject import Subject
from lorafa_prof.explaining.trial import Trial, tried
from lorafa_prof.scenario.cell import Cell

#: Told how many predictions there are, how many are done, and what the last one was of.
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Asked:
    """Predictions under way for a subject; none, and why, where no twin can be asked."""

    subject: Subject
    step: Future[PredictedStep] | None = None
    trials: tuple[Future[Trial], ...] = ()
    why_not: str = ""


def explain(subjects: Sequence[Subject], pool: Executor, tell: Tell, *, what_if: bool) -> list[Explanation]:
    """The explanations of `subjects`, in their order.

    Args:
        subjects: what is to be explained.
        pool: where predictions run.
        tell: is told of each prediction that is done.
        what_if: whether to try what would make the steps smaller.

    Raises:
        LorafaProfError: a cell cannot be built and nothing was measured of it; or a process died.
    """
    names: dict[Future[Any], str] = {}
    asked = [_ask(subject, pool, names, what_if) for subject in subjects]
    try:
        for done, future in enumerate(as_completed(names), start=1):
            if future.exception() is None:
                tell(done, len(names), names[future])
        return [_explanation(each) for each in asked]
    except BrokenProcessPool as error:
        raise LorafaProfError(
            "a process that predicts died (the host ran out of memory?); --jobs 1 runs one at a time"
        ) from error


def _ask(
    subject: Subject,
    pool: Executor,
    names: dict[Future[Any], str],
    what_if: bool,
) -> _Asked:
    twin = twin_of(subject.cell)
    if subject.cell is None or twin is None:
        return _Asked(subject, why_not=_why_no_twin(subject.cell))
    try:
        settings = settings_of(subject.environment)
    except UsageError as error:
        return _Asked(subject, why_not=str(error))
    step = pool.submit(predicted_step, twin, settings)
    names[step] = subject.label
    trials = []
    for remedy in remedies_for(twin) if what_if else []:
        trials.append(pool.submit(tried, remedy, settings))
        names[trials[-1]] = remedy.change
    return _Asked(subject, step, tuple(trials))


def _why_no_twin(cell: Cell | None) -> str:
    if cell is None:
        return "its settings are not known"
    if cell.device == "cpu":
        return "there is no twin of a CPU"
    return f"there is no twin of {cell.gpu}"


def _explanation(asked: _Asked) -> Explanation:
    if asked.step is None:
        return by_record(asked.subject, asked.why_not)
    try:
        explanation = by_twin(asked.subject, asked.step.result())
    except LorafaProfError as error:
        if not asked.subject.row:
            raise
        return by_record(asked.subject, f"its twin cannot be built here: {error}")
    except BrokenProcessPool:
        raise
    except Exception as error:
        label, what = asked.subject.label, type(error).__name__
        raise LorafaProfError(f"{label}: the twin failed: {what}: {first_line(error)}") from error
    return replace(explanation, trials=tuple(trial.result() for trial in asked.trials))
