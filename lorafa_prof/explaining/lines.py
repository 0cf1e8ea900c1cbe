"""Lines of numbers and words, wrapped for a terminal or whole for everything else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from lorafa_prof.one_line import harmless
from lorafa_prof.words.numbers import percent, size, size_change
from lorafa_prof.words.phrases import one_line
from lorafa_prof.words.tables import GAP, padded
from lorafa_prof.words.terminal import ENDLESS, rendered

_NARROWEST = 24
_AMOUNT = 11
_SHARE = 7


class Line(NamedTuple):
    """A line, which may become several.

    Attributes:
        head: stands before the words.
        words: are wrapped where there is no room.
        note: dimmed words after these, with what divides the two.
        below: stands in the place of the head where the words go on.
        style: of head and words.
    """

    head: str
    words: str = ""
    note: str = ""
    below: str = ""
    style: str = ""


EMPTY = Line("")


def amount(nbytes: int) -> str:
    """Bytes, as wide as all amounts."""
    return f"{size(nbytes):>{_AMOUNT}}"


def change(nbytes: int) -> str:
    """A difference in bytes, as wide as all differences."""
    return f"{size_change(nbytes):>{_AMOUNT + 1}}"


def share(nbytes: int, of_bytes: int) -> str:
    """Percent, as wide as all shares; blank where it is of nothing."""
    return f"{percent(nbytes / of_bytes) if of_bytes else '':>{_SHARE}}"


def heading(words: str) -> Line:
    """The title of a section."""
    return Line("", words, style="bold")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> Iterator[Line]:
    """Aligned columns; those numbered in `left` to the left, others to the right. The last one is wrapped."""
    right = set(range(len(header))) - set(left)
    for number, (*cells, last) in enumerate(padded([header, *rows], right)):
        head = "".join(cell + GAP for cell in cells)
        yield Line(head, last.rstrip(), below=" " * cell_len(head), style="" if number else "dim")


def text_of(lines: Iterable[Line], width: int | None) -> str:
    """The lines as text.

    Args:
        lines: to render.
        width: of the terminal, in columns, for which words are wrapped and coloured; None: there is no
            terminal, and each is one line of plain text.
    """
    texts = (text for line in lines for text in _wrapped(_harmless(line), width or ENDLESS))
    return rendered(texts, ENDLESS, coloured=width is not None)


def _harmless(line: Line) -> Line:
    """The line, in which messages and names of others are."""
    return line._replace(head=harmless(line.head), words=one_line(line.words), note=harmless(line.note))


def _wrapped(line: Line, width: int) -> Iterator[Text]:
    if cell_len(line.head + line.words + line.note) <= width:
        yield Text.assemble((line.head + line.words, line.style), (line.note, "dim"))
        return
    below = line.below or " " * cell_len(line.head)
    parts = [(part, line.style) for part in _pieces(line.words, line.head, below, width)]
    parts += [(part, "dim") for part in _pieces(line.note.lstrip(" :"), below, below, width)]
    for number, (part, style) in enumerate(parts or [("", "")]):
        yield Text.assemble((below if number else line.head, line.style), (part, style))


def _pieces(words: str, first: str, below: str, width: int) -> list[str]:
    """The words in pieces for which there is room behind `first`, then behind `below`."""
    indents = [" " * cell_len(first), " " * cell_len(below)]
    room = max(width, max(map(len, indents)) + _NARROWEST)
    lines = textwrap.wrap(words, room, initial_indent=indents[0], subsequent_indent=indents[1])
    return [line[len(indents[min(number, 1)]) :] for number, line in enumerate(lines)]
