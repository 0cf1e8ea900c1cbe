"""verify.csv: one row per cell, predicted, measured and residual bytes side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.record import Value
from lorafa_prof.results.spreadsheet import csv_text
from lorafa_prof.verification.residuals import METRICS, SENT
from lorafa_prof.words.phrases import one_line

TABLE_NAME = "verify.csv"

Status = Literal["exact", "placed", "differs", "oom", "oom-predicted", "oom-measured", "error"]
"""exact: every allocated and requested number is right to the byte, and what ranks send; placed: so it is
once the twin's segments lie where the driver put them in that run; oom: out of memory on both, though perhaps
not in the same phase; oom-predicted and oom-measured: on that side only; error: no comparison."""

#: The cell is as it should be.
AGREES: tuple[Status, ...] = ("exact", "placed", "oom")

SETTINGS: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.group == "setting")
SIDES = ("predicted", "measured", "residual")
#: Of ranks each is the one's whose residual is largest, which has a column of its own.
RANKED_METRICS = (*METRICS, SENT)
PLACED_METRICS = ("peak_allocated_bytes", "peak_reserved_bytes")
VERIFY_COLUMNS: tuple[str, ...] = (
    "cell_id",
    *SETTINGS,
    "status",
    *(f"{side}_failed_phase" for side in SIDES[:2]),
    "message",
    *(f"{side}_{metric}" for metric in METRICS for side in SIDES),
    "differing_allocations",
    *(f"placed_residual_{metric}" for metric in PLACED_METRICS),
    "predicted_requests",
    *(f"{side}_torch" for side in SIDES[:2]),
    "gpu_name",
    "driver",
    *(f"{side}_{SENT}" for side in SIDES),
    *(f"rank_{metric}" for metric in RANKED_METRICS),
)


def table_text(rows: Iterable[Mapping[str, Value]]) -> str:
    """Return the text of verify.csv; an unknown value is empty, never 0.

    Raises:
        ValueError: a row has a key that is no column.
    """
    return csv_text([VERIFY_COLUMNS, *map(_written, rows)])


def _written(row: Mapping[str, Value]) -> list[Value]:
    foreign = [name for name in row if name not in VERIFY_COLUMNS]
    if foreign:
        raise ValueError(f"no such column of {TABLE_NAME}: {', '.join(map(repr, foreign))}")
    values = {**row, "message": one_line(str(row.get("message") or ""))}
    return [values.get(name) for name in VERIFY_COLUMNS]
