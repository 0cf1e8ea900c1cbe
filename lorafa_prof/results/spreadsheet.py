"""Text in CSV files that a spreadsheet would run as a formula, and back again.

A cell that begins with ``=``, ``+``, ``-`` or ``@`` is a formula to spreadsheets, and a name or message may
come from anybody. An apostrophe before it makes it text there (OWASP, "CSV injection"); our own readers take
it off again.
"""

from __future__ import annotations

import re

#: Also behind apostrophes, so that each text has one form and comes back unchanged.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def as_text(text: str) -> str:
    """`text` in a form that no spreadsheet runs; most are left as they are."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_text(written: str) -> str:
    """The text that `as_text` was given."""
    return written[1:] if written.startswith("'") and _FORMULA.match(written) else written
