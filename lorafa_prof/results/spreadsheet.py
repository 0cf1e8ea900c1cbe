"""CSV as every file of ours has it: no text in it is a formula to a spreadsheet, and all of it comes back.

A cell that begins with ``=``, ``+``, ``-`` or ``@``, also in their full width, is a formula to spreadsheets,
and a name or message may come from anybody. An apostrophe before it makes it text there (OWASP, "CSV
injection"); our own readers take it off again.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

Value = str | int | float | None

#: Also behind apostrophes, so that each text has one form and comes back unchanged.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def as_text(text: str) -> str:
    """`text` in a form that no spreadsheet runs; most are left as they are."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_text(written: str) -> str:
    """The text that `as_text` was given."""
    return written[1:] if written.startswith("'") and _FORMULA.match(written) else written


def csv_text(rows: Iterable[Iterable[Value]]) -> str:
    """The text of a CSV file; of `rows` text is written `as_text`, numbers are numbers, None is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([as_text(value) if isinstance(value, str) else value for value in row] for row in rows)
    return file.getvalue()
