"""A data set's items as they are read: named fields, and what is said of one that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lorafa_prof.errors import UsageError

Row = Mapping[str, Any]
Item = TypeVar("Item")


class RowError(ValueError):
    """What is wrong with a row; `items_of` says of which one."""


@dataclass(frozen=True)
class Rows:
    """The rows of one split.

    Attributes:
        where: names the file, or the data set of the hub and its split.
        rows: in the data's order.
    """

    where: str
    rows: Sequence[Row]


def items_of(rows: Rows, parse: Callable[[Row], Item | None]) -> list[Item]:
    """Return what `parse` makes of each row; None: the row is none of the task's.

    Raises:
        UsageError: there are no items, or `parse` raised a `RowError` for a row.
    """
    items = []
    for number, row in enumerate(rows.rows, start=1):
        try:
            item = parse(row)
        except RowError as error:
            raise UsageError(f"{rows.where}, item {number}: {error}") from error
        if item is not None:
            items.append(item)
    if not items:
        raise UsageError(f"{rows.where} has no items")
    return items


def text(row: Row, field: str) -> str:
    """Return a field's text.

    Raises:
        RowError: there is none, or nothing in it.
    """
    value = _value(row, field)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"'{field}' is {_shown(value)}, not text")
    return value


def texts(row: Row, field: str) -> list[str]:
    """Return a field's list of texts.

    Raises:
        RowError: it is none, or an empty one.
    """
    value = _value(row, field)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise RowError(f"'{field}' is {_shown(value)}, not a list of texts")
    return value


def whole(row: Row, field: str, below: int) -> int:
    """Return a field's number, from 0 to `below` - 1; tables have it as text.

    Raises:
        RowError: it is no such number.
    """
    value = _value(row, field)
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or not 0 <= value < below:
        raise RowError(f"'{field}' is {_shown(value)}, not a number from 0 to {below - 1}")
    return int(value)


def place_in(values: Sequence[str], value: str, field: str) -> int:
    """Return where a text stands among those it may be.

    Raises:
        RowError: it is none of them.
    """
    if value not in values:
        raise RowError(f"'{field}' is {_shown(value)}, not {', '.join(values)}")
    return values.index(value)


def _value(row: Row, field: str) -> Any:
    if field not in row:
        raise RowError(f"there is no '{field}' among its fields ({', '.join(map(str, row)) or 'none'})")
    return row[field]


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
