"""Text of others, and of errors, in one line of a length that a terminal can bear."""

from __future__ import annotations

import unicodedata

#: Longer lines are cut in the middle: names and values of others may have megabytes.
LONGEST_LINE = 2000
_TAIL = 400
_CUT = " […] "


def one_line(text: str) -> str:
    """`text` without line breaks and characters that would steer a terminal or that no file can hold."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    return " ".join(kept.split())


def bounded_line(text: str, most: int = LONGEST_LINE) -> str:
    """`one_line`, cut in the middle where it is longer than `most`."""
    if len(text) > 4 * most:  # what need not be looked at
        text = text[: 2 * most] + text[-2 * most :]
    line = one_line(text)
    if len(line) <= most:
        return line
    tail = min(_TAIL, most // 4)
    return f"{line[: most - tail - len(_CUT)]}{_CUT}{line[-tail:]}"
