"""What is kept of a run: OUT/learning/<run_id>.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lorafa_prof.errors import UsageError
from lorafa_prof.learning.files import RunFiles
from lorafa_prof.learning.run import LearningRun
from lorafa_prof.results.files import write_atomically, writing

#: A status of a run that has yielded less than it should: it is tried again by --rerun failed.
FAILED = ("error", "timeout")
SCHEMA_VERSION = 1

Value = str | int | float | None
Status = Literal["ok", "error", "oom", "timeout", "diverged"]


class RunRecord(BaseModel):
    """A run and what it found so far.

    Attributes:
        rows: of its evaluations, with values for a subset of `columns.EVALUATION_COLUMNS`; of a run that
            ended otherwise than ok the last row says how, and where it stood.
        status: what became of it, or of it so far.
        has_ended: whether it goes on no more.
        items: that it trains on.
        steps: that it has.
        at_once: so many runs shared its GPU, or the CPU, when it last went on.
        environment: the machine and versions that it ran with.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    run: LearningRun
    rows: list[dict[str, Value]] = []
    status: Status = "ok"
    has_ended: bool = False
    items: int | None = None
    steps: int | None = None
    at_once: int = 1
    environment: dict[str, Any] = {}

    @property
    def message(self) -> str:
        """What the reader must know of its end, or of its last evaluation; empty: nothing."""
        return str(self.rows[-1].get("message") or "") if self.rows else ""

    def row_at(self, step: int, split: str) -> dict[str, Value] | None:
        """The row of this evaluation, if it was made."""
        return next((row for row in self.rows if row["step"] == step and row.get("split") == split), None)

    def keep_until(self, step: int) -> None:
        """Forget what was found after `step`, and how the run ended."""
        self.rows = [row for row in self.rows if row["status"] == "ok" and int(row["step"] or 0) <= step]
        self.status, self.has_ended = "ok", False


def write_record(record: RunRecord, files: RunFiles) -> None:
    """Write what is known of a run, whole or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    with writing(files.out):
        write_atomically(files.record, record.model_dump_json(indent=1))


def read_record(files: RunFiles) -> RunRecord | None:
    """Return what is kept of a run; None: nothing.

    Raises:
        UsageError: it is damaged, or of another version.
    """
    try:
        record = RunRecord.model_validate_json(files.record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError, IsADirectoryError) as error:
        raise _damaged(files) from error
    except OSError as error:
        raise UsageError(f"{files.record}: this record cannot be read: {error.strerror}") from error
    if record.schema_version != SCHEMA_VERSION or record.run.run_id != files.run_id:
        raise _damaged(files)
    return record


def _damaged(files: RunFiles) -> UsageError:
    return UsageError(
        f"{files.record}: this record is damaged or of another version of lorafa-prof; --rerun all trains "
        "its run anew"
    )
