"""The files of learning runs in a folder of results: OUT/learning/<run_id>.*"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.spreadsheet import csv_text

FOLDER = "learning"
#: Of the file of a run's steps: the loss is the mean of the step, tokens and seconds are so far.
LOSS_COLUMNS = ("step", "loss", "tokens", "seconds")
#: So much of its end has some steps in any case.
_LAST_BYTES = 1024

StepLoss = tuple[int, float, int, float]
"""A step, counted from 1, its loss, and tokens and seconds when it had ended."""


@dataclass(frozen=True)
class RunFiles:
    """Where a run keeps what it found.

    Attributes:
        out: the folder of results.
        run_id: of the run.
    """

    out: Path
    run_id: str

    @property
    def record(self) -> Path:
        """The run, its evaluations and what became of it."""
        return self._file("json")

    @property
    def losses(self) -> Path:
        """The loss of each step."""
        return self._file("losses.csv")

    @property
    def checkpoint(self) -> Path:
        """All that the run needs to go on; gone once it has ended well."""
        return self._file("checkpoint")

    @property
    def trained(self) -> Path:
        """The weights that trained, of a run that has ended well."""
        return self._file("safetensors")

    @property
    def outputs(self) -> Path:
        """What the model wrote in the last evaluation, a line for each item, if the task has such."""
        return self._file("outputs.jsonl")

    @property
    def log(self) -> Path:
        """What the run's process prints."""
        return self.out / "logs" / f"{self.run_id}.log"

    def remove(self) -> None:
        """Remove all of them, but for the log."""
        for file in (self.record, self.losses, self.checkpoint, self.trained, self.outputs):
            file.unlink(missing_ok=True)

    def _file(self, end: str) -> Path:
        return self.out / FOLDER / f"{self.run_id}.{end}"


def append_losses(file: Path, losses: Sequence[StepLoss]) -> None:
    """Add steps to the file of losses, which is begun if it is not there.

    Raises:
        LorafaProfError: it cannot be written.
    """
    rows: list[Sequence[str | int | float]] = [] if file.exists() else [LOSS_COLUMNS]
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(csv_text([*rows, *losses]))
    except OSError as error:
        raise LorafaProfError(f"cannot write the losses to '{file}': {error.strerror}") from error


def keep_losses_until(file: Path, step: int) -> None:
    """Take from the file of losses what was written of steps after `step`, also half a line."""
    if not file.exists():
        return
    kept = [row for row in _lines(file) if int(row[0]) <= step]
    write_atomically(file, csv_text([LOSS_COLUMNS]) + "".join(",".join(row) + "\n" for row in kept))


def last_step(file: Path) -> int:
    """The last step in the file of losses, of which only the end is read; 0 where there is none."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _LAST_BYTES))
            end = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return 0
    steps = [line.partition(",")[0] for line in end[: end.rfind("\n") + 1].splitlines()[1:]]
    return max((int(step) for step in steps if step.isdecimal()), default=0)


def _lines(file: Path) -> list[list[str]]:
    """The whole lines of the file but for its header."""
    text = file.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1].splitlines()[1:]
    rows = list(csv.reader(whole))
    return [row for row in rows if len(row) == len(LOSS_COLUMNS) and row[0].isdecimal()]
