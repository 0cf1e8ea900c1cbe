"""Tables of ours in which something is exchanged, as an editor or a spreadsheet might."""

from __future__ import annotations

import csv
import io

from hypothesis import strategies as st

ODD_TEXTS = (
    "",
    "nan",
    "inf",
    "-1",
    "1e400",
    "9" * 5000,
    "0x10",
    "1,5",
    "TRUE",
    "#DIV/0!",
    "=1+1",
    "text",
    '"',
    "a\nb",
    "\x1b[31m",
    "\u202e",
    "\0",
    "9223372036854775808",
)


def tables(text: str) -> st.SearchStrategy[str]:
    """The table `text` with one to three values exchanged, columns renamed and lines doubled or cut."""
    rows = list(csv.reader(io.StringIO(text)))
    place = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, len(rows[0]) - 1))
    changes = st.lists(st.tuples(place, st.sampled_from(ODD_TEXTS)), min_size=1, max_size=3)
    endings = st.sampled_from((0, 0, 0, 1, 7, 200))
    return st.tuples(changes, endings, st.booleans()).map(lambda drawn: _changed(rows, *drawn))


def _changed(
    rows: list[list[str]], changes: list[tuple[tuple[int, int], str]], cut: int, double: bool
) -> str:
    changed = [list(row) for row in rows]
    for (row, column), value in changes:
        changed[row][column] = value
    if double:
        changed.append(changed[-1])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(changed)
    whole = text.getvalue()
    return whole[:-cut] if cut else whole
