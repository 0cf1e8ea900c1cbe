"""Text of others as people may be shown it: nothing in it steers a terminal or turns the line around.

Who shows a text takes it through one of these; what is kept as data is kept as it is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

#: Longer lines are cut in the middle: names and values of others may have megabytes.
LONGEST_LINE = 2000
_TAIL = 400
_CUT = " […] "

#: Control characters, ESC and those of C1 among them, and what separates lines and paragraphs.
_BLANK = ("Cc", "Zl", "Zp")
#: What shows nothing and changes how the rest is shown (bidirectional marks, zero widths), and halves of
#: characters, which no file can hold.
_NOTHING = ("Cf", "Cs")


def harmless(text: str) -> str:
    """`text` with a blank for each control character and line break, and without what cannot be seen."""
    return text if text.isprintable() else "".join(map(_harmless, text))


def harmless_lines(text: str) -> str:
    """`text` of several lines, each of them harmless."""
    return "\n".join(map(harmless, text.split("\n")))


def one_line(text: str) -> str:
    """`text` harmless, in one line, with single blanks."""
    return " ".join(harmless(text).split())


def bounded_line(text: str, most: int = LONGEST_LINE) -> str:
    """`one_line`, cut in the middle where it is longer than `most`."""
    if len(text) > 4 * most:  # what need not be looked at
        text = text[: 2 * most] + text[-2 * most :]
    line = one_line(text)
    if len(line) <= most:
        return line
    tail = min(_TAIL, most // 4)
    return f"{line[: most - tail - len(_CUT)]}{_CUT}{line[-tail:]}"


def all_texts(data: Any, change: Callable[[str], str]) -> Any:
    """`data` as JSON has it, with `change` made to every text in it, names of fields too."""
    if isinstance(data, str):
        return change(data)
    if isinstance(data, dict):
        return {all_texts(key, change): all_texts(value, change) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [all_texts(value, change) for value in data]
    return data


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in _BLANK:
        return " "
    return "" if category in _NOTHING else character
