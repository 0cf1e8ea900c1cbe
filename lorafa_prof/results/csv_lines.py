"""Reading a CSV file line by line, strictly: what is wrong is told with file and line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.results.spreadsheet import Value, from_text

INTEGER_LIMIT = 2**63


class Line(NamedTuple):
    """The values of a line of the file, and its number, counted from 1."""

    number: int
    values: list[str]


def read_lines(path: Path, what: str) -> list[Line]:
    """Return the header and the rows of a file that should be `what`, without empty lines.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            return [Line(reader.line_num, values) for values in reader if values]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as {what}: {error}") from error


def check_names(header: Sequence[str], known: Collection[str], path: Path) -> None:
    """See that the names of columns are known ones, each once.

    Raises:
        UsageError: one is not.
    """
    for name in header:
        if name not in known:
            raise UsageError(f"{path}: unknown column '{name}'{nearest(name, list(known))}")
        if header.count(name) > 1:
            raise UsageError(f"{path}: column '{name}' is there twice")


def named_values(header: Sequence[str], line: Line, path: Path) -> dict[str, str]:
    """Return the values of a line by the names of the columns.

    Raises:
        UsageError: there are too few or too many.
    """
    if len(line.values) != len(header):
        raise UsageError(f"{path}:{line.number}: {len(line.values)} values for {len(header)} columns")
    return dict(zip(header, line.values, strict=True))


def parsed(text: str, kind: str, name: str, path: Path, line: int) -> Value:
    """Return what stands in a column of this kind; None where nothing does.

    Args:
        text: as it stands in the file.
        kind: a key of `PARSERS`.
        name: of the column.
        path, line: where it stands.

    Raises:
        UsageError: it is not of that kind.
    """
    try:
        return PARSERS[kind](text) if text else None
    except ValueError as error:
        raise UsageError(f"{path}:{line}: column '{name}': {text!r} is not a number") from error


def _parse_integer(text: str) -> int:
    # A spreadsheet that saved the file may have turned 8 into 8.0.
    whole, _, fraction = text.partition(".")
    integer = int(whole)
    if fraction.strip("0") or abs(integer) >= INTEGER_LIMIT:
        raise ValueError(text)
    return integer


def _parse_float(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


#: By pandas' name of the kind.
PARSERS: dict[str, Callable[[str], Value]] = {
    "Int64": _parse_integer,
    "Float64": _parse_float,
    "string": from_text,
}
