"""Profiling a training that someone else's loop runs: what all callbacks have in common."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.profiling.result import Profile, ProfiledStep
from lorafa_prof.profiling.session import Profiling


class TrainingRun:
    """Steps of a training, profiled from its start to its end.

    Attributes:
        result: what was found; None before the training has ended, and where it took no step.

    Args:
        every: a row is told every so many steps.
        attribute: whether to attribute the first step.
        name: what it is called; "": the model's class.
        out: the folder in which it is kept; None: nowhere.

    Raises:
        UsageError: `every` is below 1.
    """

    def __init__(self, every: int, *, attribute: bool, name: str, out: str | Path | None) -> None:
        if every < 1:
            raise UsageError(f"every={every}: a row is told every so many steps, 1 or more")
        self.result: Profile | None = None
        self._every, self._attribute, self._name = every, attribute, name
        self._out = Path(out) if out is not None else None
        self._profiling: Profiling | None = None

    def start(self, model: nn.Module | None) -> None:
        """Begin, before the first step; of a training that begins again, anew."""
        self.abandon()
        self.result = None
        self._profiling = Profiling(model, attribute=self._attribute, name=self._name)
        self._profiling.__enter__()

    def row(self, step: int) -> dict[str, float]:
        """What is told of step number `step`, counted from 1; nothing if it is none of the every so many."""
        if self._profiling is None or step % self._every:
            return {}
        last = self._profiling.last_step()
        return _values(last) if last is not None else {}

    def end(self, error: BaseException | None = None, *, keeps: bool = True) -> Profile | None:
        """End, and keep what was found where it is to be kept; None where nothing had begun, or was done.

        Args:
            error: what the training failed of.
            keeps: whether this process is the one of several that keeps it.
        """
        if self._profiling is None:
            return None
        if error is None and self._profiling.last_step() is None:
            self.abandon()
            return None
        profiling, self._profiling = self._profiling, None
        profiling.__exit__(type(error) if error is not None else None, error, None)
        self.result = profiling.result
        if self._out is not None and keeps:
            self.result.save(self._out)
        return self.result

    def abandon(self) -> None:
        """Take all hooks off, and keep nothing: the training before has failed."""
        profiling, self._profiling = self._profiling, None
        if profiling is not None:
            profiling.__exit__(None, None, None)


def _values(step: ProfiledStep) -> dict[str, float]:
    values: dict[str, float] = {}
    if step.held_bytes is not None:
        values["lorafa_prof/activation_bytes"] = step.held_bytes
    if step.phases:
        peaks = {phase: memory.peak.allocated for phase, memory in step.phases.items()}
        values["lorafa_prof/peak_allocated_bytes"] = max(peaks.values())
        values |= {f"lorafa_prof/peak_{phase}_bytes": peak for phase, peak in peaks.items()}
    if step.ms is not None:
        values["lorafa_prof/step_ms"] = step.ms
    return values
