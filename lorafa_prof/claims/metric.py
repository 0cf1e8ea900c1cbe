"""The metrics that claims may be about: those of the results table, whether a step fits, and of learning."""

from __future__ import annotations

import math

from lorafa_prof.errors import UsageError
from lorafa_prof.quality.measures import LEARNING_METRICS
from lorafa_prof.registry import nearest
from lorafa_prof.results.columns import METRICS, Column
from lorafa_prof.results.record import CellResult
from lorafa_prof.words.amounts import Number

FITS = Column("fits", "memory", "", "1 where the step fits into memory, 0 where it does not")
CLAIM_METRICS: dict[str, Column] = {column.name: column for column in (*METRICS, FITS, *LEARNING_METRICS)}


class UnknownValueError(Exception):
    """A cell has no value for a metric; `str(error)` is why, for people."""


def claim_metric(name: str) -> Column:
    """The metric of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in CLAIM_METRICS:
        near = nearest(name, list(CLAIM_METRICS))
        raise UsageError(f"unknown metric '{name}'{near}; `lorafa-prof list metrics` shows all")
    return CLAIM_METRICS[name]


def value_of(result: CellResult | None, metric: Column) -> Number:
    """The cell's value in the unit of `metric`.

    Raises:
        UnknownValueError: it was not measured, the cell did not run to its end, or its device cannot tell.
    """
    if result is None:
        raise UnknownValueError("not measured")
    row = result.row
    status = row["status"]
    if metric is FITS and status in ("ok", "oom"):
        return int(status == "ok")
    if status != "ok":
        where = f" in {row['failed_phase']}" if row.get("failed_phase") else ""
        word = "out of memory" if status == "oom" else f"{status}: {row.get('message', '')}"
        raise UnknownValueError(f"{word}{where}")
    value = row.get(metric.name)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return value
    if result.cell.is_predicted and metric.group in ("time", "energy"):
        raise UnknownValueError("the twin has no clock: judge it on a GPU, with --device cuda")
    raise UnknownValueError(f"{metric.name} is not known on this device")
