"""Reading learning.csv, strictly: a file that is damaged or of somebody else is one line that says where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.learning.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from lorafa_prof.one_line import all_texts, harmless
from lorafa_prof.quality.run import EvaluationRow, LearningRun
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.csv_lines import check_names, named_values, parsed, read_lines
from lorafa_prof.results.files import LEARNING_NAME
from lorafa_prof.results.table import pandas_dtype

_SETTINGS = {"cell_id": "string"} | {c.name: pandas_dtype(c) for c in COLUMNS if c.group == "setting"}
_WHOLE_NUMBERS = (
    "train_seed",
    "draw_seed",
    "step",
    "tokens",
    "items",
    "peak_allocated_bytes",
    "peak_reserved_bytes",
    "activation_bytes",
    "params_trainable",
)
_FRACTIONS = ("learning_rate", "epoch", "seconds", "train_loss", "eval_loss", "metric")
_KINDS = _SETTINGS | {
    name: "Int64" if name in _WHOLE_NUMBERS else "Float64" if name in _FRACTIONS else "string"
    for name in (*RUN_COLUMNS, *EVALUATION_COLUMNS)
}
#: What all rows of a run must agree in.
_OF_RUN = (*_SETTINGS, *RUN_COLUMNS)
_ALWAYS_THERE = ("run_id", "cell_id", "status", "learning_rate")
_ONE_OF = {"status": ("ok", "error", "oom", "timeout", "diverged"), "split": (None, "validation", "test")}

Row = Mapping[str, Any]


def read_learning(out: Path) -> list[LearningRun]:
    """Return the runs in ``out/learning.csv``, in the order of their first rows.

    Raises:
        NothingToJudgeError: there is no such file, or it has no rows.
        UsageError: it is not what `lorafa-prof learn` writes, or of another version.
    """
    path = out / LEARNING_NAME
    if not path.is_file():
        raise NothingToJudgeError(
            f"{out}: holds no {LEARNING_NAME}; `lorafa-prof learn SCENARIO -o {out}` writes one"
        )
    rows_of: dict[str, list[tuple[int, Row]]] = {}
    for line, row in _rows(path):
        rows_of.setdefault(row["run_id"], []).append((line, row))
    if not rows_of:
        raise NothingToJudgeError(f"{path}: no rows")
    for rows in rows_of.values():
        _check_run(rows, path)
    return [_run([row for _, row in rows], out) for rows in rows_of.values()]


def _rows(path: Path) -> list[tuple[int, Row]]:
    lines = read_lines(path, "a table of learning runs")
    if not lines:
        return []
    header = lines[0].values
    check_names(header, _KINDS, path)
    for name in ("cell_id", *RUN_COLUMNS, *EVALUATION_COLUMNS):
        if name not in header:
            raise UsageError(f"{path}: column '{name}' is missing; not a table of `lorafa-prof learn`")
    rows: list[tuple[int, Row]] = []
    for line in lines[1:]:
        texts = named_values(header, line, path)
        values = {name: parsed(text, _KINDS[name], name, path, line.number) for name, text in texts.items()}
        row = all_texts(values, harmless)
        _check_row(row, path, line.number)
        rows.append((line.number, row))
    return rows


def _check_row(row: Row, path: Path, line: int) -> None:
    for name in _ALWAYS_THERE:
        if row[name] is None:
            raise UsageError(f"{path}:{line}: {name} is empty")
    if row["run_id"] != Path(row["run_id"]).name:
        raise UsageError(f"{path}:{line}: run_id '{row['run_id']}' is no name of a file")
    for name, known in _ONE_OF.items():
        if row[name] not in known:
            there = ", ".join(filter(None, known))
            raise UsageError(f"{path}:{line}: {name} is '{row[name]}'; there are {there}")
    if row["metric"] is not None and not 0 <= row["metric"] <= 1:
        raise UsageError(f"{path}:{line}: metric is {row['metric']:g}; it is from 0 to 1")
    if row["learning_rate"] <= 0:
        raise UsageError(f"{path}:{line}: learning_rate is {row['learning_rate']:g}; it is above 0")
    if row["split"] is not None and row["step"] is None:
        raise UsageError(f"{path}:{line}: an evaluation without its step")


def _check_run(rows: Sequence[tuple[int, Row]], path: Path) -> None:
    first_line, first = rows[0]
    seen: set[tuple[Any, Any]] = set()
    for line, row in rows:
        for name in _OF_RUN:
            if row.get(name) != first.get(name):
                raise UsageError(
                    f"{path}:{line}: run '{row['run_id']}' has another {name} than in line {first_line}"
                )
        evaluated = (row["split"], row["step"])
        if row["split"] is not None and evaluated in seen:
            split, step = evaluated
            raise UsageError(f"{path}:{line}: run '{row['run_id']}' has {split} at step {step} twice")
        seen.add(evaluated)


def _run(rows: Sequence[Row], out: Path) -> LearningRun:
    first, last = rows[0], rows[-1]
    peaks = [row["peak_allocated_bytes"] for row in rows if row["peak_allocated_bytes"] is not None]
    return LearningRun(
        run_id=first["run_id"],
        cell_id=first["cell_id"],
        settings={name: first[name] for name in _SETTINGS if first.get(name) is not None},
        task=first["task"] or "",
        metric_name=next((row["metric_name"] for row in rows if row["metric_name"]), ""),
        learning_rate=first["learning_rate"],
        schedule=first["schedule"] or "",
        seed=(first["train_seed"], first["draw_seed"]),
        status=last["status"],
        message=last["message"] or "",
        evaluations=tuple(_evaluation(row) for row in rows),
        peak_allocated_bytes=max(peaks, default=None),
        losses_csv=out / "learning" / f"{first['run_id']}.losses.csv",
    )


def _evaluation(row: Row) -> EvaluationRow:
    return EvaluationRow(**{name: row[name] for name in EvaluationRow.__dataclass_fields__})
