"""Phrases that recur: numbers of things, lists that are cut short, text of others in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lorafa_prof.one_line import one_line as one_line


def count(number: int, noun: str) -> str:
    """A number of things: "1 claim", "2 claims"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def and_more(number: int) -> str:
    """What a list leaves out: "and 3 more"."""
    return f"and {number:,} more"


def first_of(names: Sequence[str], most: int, between: str = ", ") -> str:
    """The first `most` names, and how many more there are: "a, b, and 3 more"."""
    left_out = len(names) - most
    return between.join([*names[:most], *([and_more(left_out)] if left_out > 0 else [])])


def listed(words: Iterable[str]) -> str:
    """All of them as a list: "a, b and c"."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def alternatives(words: Iterable[str]) -> str:
    """All of them as what one may choose from: "a, b, or c"."""
    *first, last = list(words) or [""]
    return f"{', '.join(first)}, or {last}" if first else last
