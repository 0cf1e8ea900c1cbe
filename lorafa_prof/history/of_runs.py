"""The history of cells over stored runs, by when they were written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.claims.baseline import TELLING_PACKAGES, baseline_id
from lorafa_prof.comparing.metrics import DEFAULT_METRICS, number_of
from lorafa_prof.comparing.origin import UNKNOWN
from lorafa_prof.comparing.sides import Outcome, Side, read_side
from lorafa_prof.errors import UsageError
from lorafa_prof.history.history import History, Moment, Series
from lorafa_prof.results.columns import Column
from lorafa_prof.results.marks import disturbance
from lorafa_prof.results.soundness import read_json
from lorafa_prof.scenario.labels import distinct_labels
from lorafa_prof.words.amounts import Number
from lorafa_prof.words.phrases import count, listed


def history_of_runs(folders: Sequence[Path], metrics: Collection[Column] = ()) -> History:
    """Return the history of the cells in folders that `lorafa-prof run` wrote, the oldest run first.

    Seed and number of steps do not keep cells apart. A value that is worth less than others is missing.

    Args:
        folders: of the runs.
        metrics: empty: those that `compare` looks at.

    Raises:
        UsageError: a folder cannot be read.
        NothingToJudgeError: one holds no results.
    """
    sides = sorted(((_written(folder), read_side(folder)) for folder in folders), key=lambda each: each[0])
    moments = tuple(_moment(side, written, metrics or DEFAULT_METRICS) for written, side in sides)
    cells: dict[str, Cell] = {}
    for _, side in sides:
        for outcome in side.outcomes:
            cells.setdefault(baseline_id(outcome.cell), outcome.cell)
    named = distinct_labels(list(cells.values()))
    return History(
        of=count(len(sides), "run"),
        moments=moments,
        labels={key: named[cell.cell_id] for key, cell in cells.items()},
        measured=frozenset(key for key, cell in cells.items() if cell.device_kind == "cuda"),
    )


def _written(folder: Path) -> str:
    file = folder / "provenance.json"
    try:
        written: Any = read_json(file)["written"]
    except FileNotFoundError as error:
        raise UsageError(f"{file}: no such file, so nobody knows when this run was; name others") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{file}: this cannot be read as a record of lorafa-prof") from error
    return str(written)


def _moment(side: Side, written: str, metrics: Collection[Column]) -> Moment:
    values: dict[Series, Number] = {}
    missing: dict[Series, str] = {}
    for outcome in side.outcomes:
        key = baseline_id(outcome.cell)
        for metric in metrics:
            value = number_of(outcome, metric)
            if why := _why_not(outcome, metric):
                missing[key, metric.name] = why
            elif value is not None:
                values[key, metric.name] = value
    origins = [outcome.origin for outcome in side.outcomes if outcome.origin is not None]
    commits = dict.fromkeys(origin.commit for origin in origins if origin.commit != UNKNOWN)
    packages = {name: listed({origin.version(name) for origin in origins}) for name in TELLING_PACKAGES}
    subject = f"lorafa-prof {listed(commits)}" if commits else ""
    return Moment(side.out.name, written, subject, values, missing, packages)


def _why_not(outcome: Outcome, metric: Column) -> str:
    """Return why the value of a row stands for nothing; empty if it stands for something."""
    if outcome.status != "ok":
        return "out of memory" if outcome.status == "oom" else outcome.status
    if outcome.contradicted:
        return f"its row is not of its cell: {listed(outcome.contradicted)} differ"
    if outcome.num_alloc_retries and metric.group == "memory":
        return "its allocator gave cached blocks back"
    return disturbance(metric.name, outcome.marks)
