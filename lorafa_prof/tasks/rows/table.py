"""Reading the rows of one local file, gzipped or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lorafa_prof.errors import UsageError, described
from lorafa_prof.tasks.rows.row import Row, RowError

#: Makes rows of a file's text; a `RowError` says what is wrong with it.
Read = Callable[[str], list[Row]]


def read_file(path: Path, read: Read) -> list[Row]:
    """Return the rows of a file.

    Raises:
        UsageError: it cannot be read, is damaged, or is no file of this form.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
        return read(content.decode("utf-8-sig"))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({described(error)}); fetch it again") from error
    except RowError as error:
        raise UsageError(f"{path}: {error}; fetch it again, or name another file") from error


def read_json(content: str) -> list[Row]:
    """Read a list of objects, or an object on each line."""
    if content.lstrip().startswith("["):
        return [_as_row(value, number) for number, value in enumerate(_parsed(content, 1), start=1)]
    lines = enumerate(content.splitlines(), start=1)
    return [_as_row(_parsed(line, number), number) for number, line in lines if line.strip()]


def read_tsv(content: str) -> list[Row]:
    """Read a table as GLUE has them: tabs between fields, no quotes, names in the first line."""
    lines = _tsv(content)
    return _with_names(lines[0], lines[1:], first=2) if lines else []


def read_headless_tsv(*names: str) -> Read:
    """Return what reads such a table without a line of names."""
    return lambda content: _with_names(list(names), _tsv(content), first=1)


def _tsv(content: str) -> list[list[str]]:
    return [line.split("\t") for line in content.splitlines() if line]


def _with_names(names: list[str], lines: list[list[str]], *, first: int) -> list[Row]:
    for number, line in enumerate(lines, start=first):
        if len(line) != len(names):
            raise RowError(f"line {number} has {len(line)} fields and not {len(names)}")
    return [dict(zip(names, line, strict=True)) for line in lines]


def _parsed(content: str, line: int) -> Any:
    try:
        return json.loads(content)
    except (json.JSONDecodeError, RecursionError) as error:
        at = line + getattr(error, "lineno", 1) - 1
        raise RowError(f"line {at} is no JSON ({getattr(error, 'msg', 'too deep')})") from error


def _as_row(value: Any, number: int) -> Row:
    if not isinstance(value, dict):
        raise RowError(f"item {number} is no object with fields")
    return value
