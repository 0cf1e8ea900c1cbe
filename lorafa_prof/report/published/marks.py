"""The marks of a page: comments, which readers do not see, that say what is written between two of them."""

from __future__ import annotations

import re

from lorafa_prof.errors import UsageError

SUMMARY = "summary"

_SETTINGS = re.compile(r"<!-- settings: (\S+) -->")
_FIGURE = re.compile(r"<!-- figure: (\S+) (\S+) -->")
_PICTURE = re.compile(r"<!-- picture: (.+) -->")


def scenarios_named(text: str) -> list[str]:
    """The scenarios that there is a mark ``settings: SCENARIO`` for, in the order of the page."""
    return list(dict.fromkeys(_SETTINGS.findall(text)))


def figures_named(text: str) -> list[tuple[str, str]]:
    """Scenario and figure of each mark ``figure: SCENARIO FIGURE``."""
    return list(dict.fromkeys(_FIGURE.findall(text)))


def picture_note(text: str) -> str:
    """What the mark ``picture: NOTE`` says below the picture; empty without that mark."""
    mark = _PICTURE.search(text)
    return mark[1] if mark else ""


def has_mark(text: str, mark: str) -> bool:
    """Whether there is something to be filled."""
    return f"<!-- {mark} -->" in text


def filled_between(text: str, mark: str, content: str) -> str:
    """`text` with `content` in place of what stands between a mark and its end.

    Raises:
        UsageError: there is no such mark, or it has no end.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise UsageError(f"the page has no '{begin}' with an '{end}' after it")
    return f"{before}{begin}\n{content}\n{end}{after}"
