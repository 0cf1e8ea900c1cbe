"""GitHub-flavoured Markdown: text of others as it stands, tables, and no more than there is room for."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable

from lorafa_prof.words.phrases import count, one_line

#: Of one text, such as a name.
_MOST_OF_A_TEXT = 300

#: So that a name is no link, emphasis or formula; an underscore within a word is none either.
_MARKUP = re.compile(r"[\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])")
_URL = re.compile(r"(https?://[\w./%?=~:#+-]+)")
#: Two signs that call a person or an issue, unless something stands between them and the name.
_CALL = re.compile(r"[@#](?=\w)")
_NOTHING_TO_SEE = "\u200b"


def escaped(text: str) -> str:
    """`text` as it stands, whatever is in it, in a paragraph or a cell of a table; only links stay links."""
    parts = _URL.split(_shortened(text))
    # Every second one is a link.
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", html.escape(part, quote=False)) for part in parts[::2]]
    parts[::2] = map(_uncalled, parts[::2])
    return "".join(parts).replace("|", "&#124;")


def escaped_html(text: str) -> str:
    """`text` as it stands within an HTML element on a line of its own, on which Markdown has no say."""
    return _uncalled(html.escape(_shortened(text), quote=False))


def code(text: str) -> str:
    """`text` in the letters of code, where that can be written in a cell of a table."""
    text = _shortened(text)
    # In a cell no way of writing the first three within code holds everywhere; and not every reader of
    # Markdown keeps a tag within code from being one.
    return f"`{text}`" if text and not re.search(r"[`|\\<]", text) else escaped(text)


def header(*cells: str) -> str:
    """The first lines of a table, with an empty one before them."""
    return "\n" + row(*cells) + row(*["---"] * len(cells))


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |\n"


def fitting(parts: Iterable[str], room: int, left_out: str, noun: str) -> str:
    """The first of `parts` that fit into `room` characters; then `left_out`, with how many do not."""
    parts = list(parts)
    ends = itertools.accumulate(map(len, parts))
    kept = sum(end <= room for end in ends)
    rest = len(parts) - kept
    return "".join(parts[:kept]) + (left_out.format(count(rest, noun)) if rest else "")


def _uncalled(text: str) -> str:
    return _CALL.sub(rf"\g<0>{_NOTHING_TO_SEE}", text)


def _shortened(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _MOST_OF_A_TEXT else f"{text[:_MOST_OF_A_TEXT]}…"
