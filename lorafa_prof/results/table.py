"""Reading and writing the results table: results.csv, one line per cell, an unknown value empty."""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.results.columns import COLUMN_NAMES, COLUMNS, Column
from lorafa_prof.results.csv_lines import (
    INTEGER_LIMIT,
    Line,
    check_names,
    named_values,
    parsed,
    read_lines,
)
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.spreadsheet import Value, csv_text

if TYPE_CHECKING:
    import pandas as pd

TABLE_NAME = "results.csv"
_WHOLE_NUMBERS = ("rank", "batch", "seq", "accumulation", "kept_logits", "gpus")
_FRACTIONS = ("dropout", "padding", "max_grad_norm")


def pandas_dtype(column: Column) -> str:
    """Return the nullable pandas dtype of a column: ``Int64``, ``Float64`` or ``string``."""
    if column.unit in ("bytes", "FLOP", "parameters") or column.name in _WHOLE_NUMBERS:
        return "Int64"
    if column.group in ("compute", "time", "energy", "fidelity") or column.name in _FRACTIONS:
        return "Float64"
    return "string"


def read_table(out: Path) -> pd.DataFrame:
    """Read ``out/results.csv``: every column of the contract, in its order, missing values as ``<NA>``.

    Bytes, FLOPs, parameters, rank, batch, seq, accumulation, kept_logits and gpus are ``Int64``, other
    numbers ``Float64``, the rest ``string``. Columns of the contract that the file lacks (an older version
    wrote it) are all missing.

    Raises:
        UsageError: no such folder, or a file that is not a results table.
        NothingToJudgeError: the folder holds no results yet, or the table has no rows.
    """
    path = _table_in(out)
    return _frame(read_lines(path, "a results table"), path)


@dataclass(frozen=True)
class KnownTable:
    """The part of a table that this version understands, and notes on what it left out."""

    table: pd.DataFrame
    notes: tuple[str, ...] = ()


def read_known_table(out: Path) -> KnownTable:
    """Read the part of ``out/results.csv`` that this version understands.

    Columns of another version and broken lines are left out, with a note.

    Raises:
        UsageError: no such folder, or a table of which nothing can be read.
        NothingToJudgeError: the folder holds no results yet, or the table has no rows.
    """
    path = _table_in(out)
    lines = read_lines(path, "a results table")
    try:
        return KnownTable(_frame(lines, path))
    except UsageError as error:
        notes = _foreign(lines)
        if not notes:
            raise
        try:
            return KnownTable(_frame(_known(lines), path), notes)
        except (UsageError, NothingToJudgeError):
            raise error from None  # it tells all that is wrong with the file


def _table_in(out: Path) -> Path:
    if not os.path.isdir(out):  # noqa: PTH112 - of a name that is too long `Path.is_dir` raises
        raise UsageError(f"{out}: no such folder; give the folder that `lorafa-prof run` wrote")
    path = out / TABLE_NAME
    if not path.is_file():
        raise NothingToJudgeError(
            f"{out}: holds no {TABLE_NAME}; `lorafa-prof run SCENARIO -o {out}` writes one"
        )
    return path


def _frame(lines: Sequence[Line], path: Path) -> pd.DataFrame:
    import pandas as pd

    rows = _rows(lines, path)
    if not rows:
        raise NothingToJudgeError(f"{path}: no rows")
    _check_cell_ids(rows, path)
    values = {column.name: _read_column(column, rows, path) for column in COLUMNS}
    return pd.DataFrame(values, dtype=object).astype({c.name: pandas_dtype(c) for c in COLUMNS})


def _foreign(lines: Sequence[Line]) -> tuple[str, ...]:
    """Return notes on what this version cannot read of a table that it can read otherwise."""
    if not lines:
        return ()
    header, *rows = lines
    unknown = [name for name in header.values if name not in COLUMN_NAMES]
    broken = sum(len(row.values) != len(header.values) for row in rows)
    notes = []
    if unknown:
        notes.append(
            f"{TABLE_NAME} is of another version of lorafa-prof: left out are its columns "
            + ", ".join(unknown)
        )
    if broken:
        notes.append(f"{TABLE_NAME}: left out are {broken:,} lines with too few or too many values")
    return tuple(notes)


def _known(lines: Sequence[Line]) -> list[Line]:
    width = len(lines[0].values)
    kept = [index for index, name in enumerate(lines[0].values) if name in COLUMN_NAMES]
    return [
        Line(line.number, [line.values[index] for index in kept])
        for line in lines
        if len(line.values) == width
    ]


def write_table(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows to the CSV file `path`, whole or not at all; folders above it are made.

    Every column of the contract is written, in its order. None, NaN, ``<NA>`` and numbers that are not finite
    are unknown and stay empty. Line breaks in text become spaces: one line of the file is one cell.

    Raises:
        ValueError: a key that is no column, or a value that does not fit its column.
    """
    text = csv_text([COLUMN_NAMES, *map(_written_row, rows)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode(errors="backslashreplace"))


def _written_row(row: Mapping[str, Any]) -> list[Value]:
    foreign = [name for name in row if name not in COLUMN_NAMES]
    if foreign:
        raise ValueError(f"no such column of the results table: {', '.join(map(repr, foreign))}")
    return [_written_value(column, row.get(column.name)) for column in COLUMNS]


def _written_value(column: Column, value: Any) -> Value:
    if _unknown(value):
        return None
    try:
        return _FORMATS[pandas_dtype(column)](value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column '{column.name}' cannot hold {value!r}") from error


def fits(name: str, value: Any) -> bool:
    """Whether `value` is of the kind of the column `name`; of a column that is not known nothing is said."""
    kind = _KINDS.get(name)
    if kind is None or _unknown(value):
        return True
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if kind == "Float64":
        return abs(value) <= sys.float_info.max
    return abs(value) < INTEGER_LIMIT and value == int(value)


def _unknown(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":  # pandas is not imported for writing
        return True
    return isinstance(value, float) and not math.isfinite(value)


def _integer(value: Any) -> int:
    integer = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    if abs(integer) >= INTEGER_LIMIT:
        raise ValueError("more than 63 bits")
    return integer


def _plain_text(value: Any) -> str:
    return " ".join(str(value).replace("\0", "").splitlines())


_FORMATS: dict[str, Callable[[Any], Value]] = {
    "Int64": _integer,
    "Float64": float,
    "string": _plain_text,
}


_KINDS = {column.name: pandas_dtype(column) for column in COLUMNS}


def _rows(lines: Sequence[Line], path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows with their line numbers."""
    if not lines:
        return []
    header = lines[0].values
    _check_header(header, path)
    return [(line.number, named_values(header, line, path)) for line in lines[1:]]


def _check_header(header: list[str], path: Path) -> None:
    check_names(header, COLUMN_NAMES, path)
    if "cell_id" not in header:
        raise UsageError(f"{path}: column 'cell_id' is missing; not a results table of lorafa-prof")


def _check_cell_ids(rows: list[tuple[int, dict[str, str]]], path: Path) -> None:
    seen: set[str] = set()
    for line, row in rows:
        cell_id = row["cell_id"]
        if not cell_id:
            raise UsageError(f"{path}:{line}: cell_id is empty")
        if cell_id in seen:
            raise UsageError(f"{path}:{line}: cell_id '{cell_id}' is there twice")
        seen.add(cell_id)


def _read_column(column: Column, rows: list[tuple[int, dict[str, str]]], path: Path) -> list[Value]:
    kind = pandas_dtype(column)
    return [parsed(row.get(column.name, ""), kind, column.name, path, line) for line, row in rows]
