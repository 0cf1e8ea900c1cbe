"""OUT/learning.csv: a row for each evaluation of each run, as `columns.py` says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lorafa_prof.learning.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from lorafa_prof.learning.record import RunRecord, Value
from lorafa_prof.results.files import LEARNING_NAME, write_atomically, writing
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.spreadsheet import csv_text


def write_learning_table(out: Path, records: Iterable[RunRecord]) -> None:
    """Write the rows of these runs, in this order.

    Raises:
        UsageError: the folder cannot be written.
    """
    header: list[str] | None = None
    lines: list[list[Value]] = []
    for record in records:
        run = record.run
        settings = setting_columns(run.cell)
        header = header or [*settings, *RUN_COLUMNS, *EVALUATION_COLUMNS]
        own: dict[str, Value] = {
            "run_id": run.run_id,
            "task": run.task.name,
            "learning_rate": run.learning_rate,
            "schedule": run.schedule,
            "train_seed": run.seed,
            "draw_seed": run.draw_seed,
        }
        first = [*settings.values(), *(own[name] for name in RUN_COLUMNS)]
        lines.extend([*first, *(row.get(name) for name in EVALUATION_COLUMNS)] for row in record.rows)
    if header is None:
        return
    with writing(out):
        write_atomically(out / LEARNING_NAME, csv_text([header, *lines]))
