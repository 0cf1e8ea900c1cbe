"""What a rank leaves behind: what it measured, or why it did not, as a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from lorafa_prof.frozen_data import Frozen
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.ranks.progress import Place

Failed = Literal["oom", "timeout", "lost", "error"]


class Failure(Frozen):
    """Why a rank did not come to its end.

    Attributes:
        kind: it had no memory left, waited too long for another rank, lost another rank, or something else.
        message: what was said, in one line.
        place: where it was.
    """

    kind: Failed
    message: str
    place: Place


class Report(Frozen):
    """A rank's, which is written again where more is measured.

    Attributes:
        result: what was measured so far.
        is_sufficient: whether memory and times are measured, and what is left only explains them.
        is_complete: whether that is all.
        at: when it was written, by the clock of its machine.
    """

    rank: int
    result: CellResult | None = None
    is_sufficient: bool = False
    is_complete: bool = False
    failure: Failure | None = None
    at: float = Field(default_factory=time.time)

    def write(self, folder: Path) -> None:
        """Write it into `folder`, in the place of the rank's report before it."""
        write_atomically(_file(folder, self.rank), self.model_dump_json())


def report_in(folder: Path, rank: int) -> Report | None:
    """Return the rank's report; None if it left none."""
    try:
        return Report.model_validate_json(_file(folder, rank).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):
        return None


def _file(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.json"
