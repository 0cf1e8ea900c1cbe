"""What a callback of any trainer takes and has; when it is called is its trainer's own."""

from __future__ import annotations

from pathlib import Path

from lorafa_prof.integrations.training_run import TrainingRun
from lorafa_prof.profiling.result import Profile


class ProfilingCallback:
    """The part of `TrainerCallback` and `LightningCallback` that is the same; they say what it takes."""

    def __init__(
        self,
        every: int = 10,
        out: str | Path | None = None,
        *,
        attribute: bool = True,
        log: bool = True,
        show: bool = True,
        name: str = "",
    ) -> None:
        self.rows: dict[int, dict[str, float]] = {}
        self._run = TrainingRun(every, attribute=attribute, name=name, out=out)
        self._log, self._show = log, show

    @property
    def result(self) -> Profile | None:
        """What was found; None before the training has ended, and where it took no step."""
        return self._run.result
