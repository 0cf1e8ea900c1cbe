"""Explaining cells, with what would make them smaller, several predictions at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.devices.device import cell_on_twin
from lorafa_prof.devices.sim.settings import AllocatorSettings, settings_of_record
from lorafa_prof.errors import LorafaProfError, UsageError, first_line
from lorafa_prof.explaining.explanation import NO_CELL, Explanation, by_record, by_twin
from lorafa_prof.explaining.predicted_step import PredictedStep, predicted_step
from lorafa_prof.explaining.remedies import Remedy, remedies_for
from lorafa_prof.explaining.subject import Subject
from lorafa_prof.explaining.trial import Trial, tried
from lorafa_prof.running.pool import work_pool
from lorafa_prof.running.progress_bar import Tell


@dataclass(frozen=True)
class _Question:
    """What a twin is to be asked of a subject; no `twin`, and why, where none can be asked."""

    subject: Subject
    twin: Cell | None = None
    settings: AllocatorSettings | None = None
    remedies: tuple[Remedy, ...] = ()
    why_not: str = ""

    @property
    def predictions(self) -> int:
        """How many it takes."""
        return 0 if self.twin is None else 1 + len(self.remedies)


@dataclass(frozen=True)
class _Asked:
    """A question whose predictions are under way."""

    question: _Question
    step: Future[PredictedStep] | None = None
    trials: tuple[Future[Trial], ...] = ()


def explain_cells(subjects: Sequence[Subject], jobs: int, tell: Tell, *, what_if: bool) -> list[Explanation]:
    """The explanations of `subjects`, in their order.

    Args:
        subjects: what is to be explained.
        jobs: how many predictions may run at once; with 1 they run in this process.
        tell: is told of each prediction that is done.
        what_if: whether to try what would make the steps smaller.

    Raises:
        LorafaProfError: a cell cannot be built and nothing was measured of it; or a process died.
    """
    questions = [_question(subject, what_if) for subject in subjects]
    names: dict[Future[Any], str] = {}
    # Processes that nothing is left for would be started, and load PyTorch, all the same.
    with work_pool(max(1, min(jobs, sum(each.predictions for each in questions)))) as pool:
        asked = [_ask(question, pool, names) for question in questions]
        if names:
            tell(0, len(names), "")
        try:
            for done, future in enumerate(as_completed(names), start=1):
                if future.exception() is None:
                    tell(done, len(names), names[future])
            return [_explanation(each) for each in asked]
        except BrokenProcessPool as error:
            raise LorafaProfError(
                "a process that predicts died (the host ran out of memory?); --jobs 1 runs one at a time"
            ) from error


def _question(subject: Subject, what_if: bool) -> _Question:
    cell = subject.cell
    twin = cell_on_twin(cell) if cell is not None and not cell.is_own_code else None
    if twin is None:
        return _Question(subject, why_not=_why_no_twin(subject.cell))
    try:
        settings = settings_of_record(subject.environment)
    except UsageError as error:
        return _Question(subject, why_not=str(error))
    return _Question(subject, twin, settings, tuple(remedies_for(twin)) if what_if else ())


def _ask(question: _Question, pool: Executor, names: dict[Future[Any], str]) -> _Asked:
    if question.twin is None:
        return _Asked(question)
    step = pool.submit(predicted_step, question.twin, question.settings)
    names[step] = question.subject.label
    trials = tuple(pool.submit(tried, remedy, question.settings) for remedy in question.remedies)
    names.update(zip(trials, (remedy.change for remedy in question.remedies), strict=True))
    return _Asked(question, step, trials)


def _why_no_twin(cell: Cell | None) -> str:
    if cell is None:
        return "its settings are not known"
    if cell.is_own_code:
        return NO_CELL
    if cell.device == "cpu":
        return "there is no twin of a CPU"
    return f"there is no twin of {cell.gpu}"


def _explanation(asked: _Asked) -> Explanation:
    subject = asked.question.subject
    if asked.step is None:
        return by_record(subject, asked.question.why_not)
    try:
        explanation = by_twin(subject, asked.step.result())
    except LorafaProfError as error:
        if not subject.row:
            raise
        return by_record(subject, f"its twin cannot be built here: {error}")
    except BrokenProcessPool:
        raise
    except Exception as error:
        what = type(error).__name__
        raise LorafaProfError(f"{subject.label}: the twin failed: {what}: {first_line(error)}") from error
    return replace(explanation, trials=tuple(trial.result() for trial in asked.trials))
