"""Judgements as a person reads them in a terminal, or in the log of a CI."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lorafa_prof.claims.finding import Finding, Item, Judgement, State
from lorafa_prof.claims.reporters.wording import (
    MOST_ITEMS,
    culprit_rows,
    culprits_left_out,
    culprits_title,
    items_amiss,
    outcome,
    overall,
    summary,
)
from lorafa_prof.words.phrases import and_more, one_line
from lorafa_prof.words.tables import GAP, padded
from lorafa_prof.words.terminal import ENDLESS, rendered

_MARK: dict[State, str] = {"pass": "✓", "fail": "✗", "unknown": "?"}
_STYLE: dict[State, str] = {"pass": "green", "fail": "bold red", "unknown": "bold yellow"}
_INDENT = 4
#: Lines that are seen at once.
_SCREEN = 24
_BLANK = Text(" ")


def terminal(judgements: Sequence[Judgement], width: int | None = None) -> str:
    """All judgements and, as the last line, what they come to; where that is a screen away also as the first.

    Args:
        judgements: to tell of.
        width: of the terminal, in columns, for which text is wrapped and coloured; None: there is no
            terminal, and every row is one line of plain text.
    """
    room = width or ENDLESS
    parts = [part for judgement in judgements for part in (*_judgement(judgement, room), Text())]
    conclusion = Text(outcome(judgements), style=_STYLE[overall(judgements)])
    told = _rendered([*parts, conclusion], width)
    return told if told.count("\n") <= _SCREEN else _rendered([conclusion, Text(), *parts, conclusion], width)


def finding_text(finding: Finding) -> str:
    """One finding as plain text."""
    return _rendered(_finding(finding, word_width=0, room=ENDLESS), None)


def _rendered(parts: Iterable[RenderableType], width: int | None) -> str:
    text = rendered(parts, width or ENDLESS, coloured=width is not None)
    return re.sub(r"\n{3,}", "\n\n", text)


def _judgement(judgement: Judgement, room: int) -> Iterator[RenderableType]:
    yield Text.assemble((one_line(judgement.title), "bold"), (f"  {one_line(judgement.machine)}", "dim"))
    word_width = max((len(one_line(finding.word)) for finding in judgement.findings), default=0)
    for finding in judgement.findings:
        yield from _finding(finding, word_width, room)
    for label in judgement.cells_failed:
        yield _labelled("failed unexpectedly: ", label, style="bold red")
    for note in judgement.notes:
        yield _labelled("note: ", note)


def _finding(finding: Finding, word_width: int, room: int) -> Iterator[RenderableType]:
    holds = finding.state == "pass"
    heading = Table.grid(padding=(0, 2, 0, 0))
    heading.add_column(no_wrap=True, min_width=word_width + 2)
    heading.add_column(overflow="fold")
    word = Text(f"{_MARK[finding.state]} {one_line(finding.word)}", style=_STYLE[finding.state])
    name = Text(one_line(finding.name), style="" if holds else "bold")
    heading.add_row(word, name.append(f": {one_line(summary(finding))}") if holds else name)
    yield heading
    for note in finding.notes:
        yield _indented(_labelled("note: ", note), _INDENT)
    if not holds:
        yield from (_indented(part, _INDENT) for part in _what_is_amiss(finding, room - _INDENT))
        yield _BLANK


def _what_is_amiss(finding: Finding, room: int) -> Iterator[RenderableType]:
    if finding.about:
        yield Text(one_line(finding.about))
    items = items_amiss(finding)
    if len(items) == 1 or (finding.state == "unknown" and len({item.note for item in items}) == 1):
        yield Text(one_line(summary(finding)))
    else:
        yield from _items(items, room)
    yield from _culprits(finding, room)
    if finding.source:
        yield _labelled("source: ", finding.source)
    if finding.file is not None:
        line = "" if finding.line is None else f":{finding.line}"
        yield _labelled("written in: ", f"{finding.file}{line}")


def _items(items: Sequence[Item], room: int) -> Iterator[RenderableType]:
    header = ("", "measured", "expected", "", "of")
    rows = [(item.word, item.measured, item.expected, item.note, item.what) for item in items[:MOST_ITEMS]]
    yield _BLANK
    yield from _table(header, rows, room)
    if len(items) > MOST_ITEMS:
        yield Text(and_more(len(items) - MOST_ITEMS), style="dim")
    yield _BLANK


def _culprits(finding: Finding, room: int) -> Iterator[RenderableType]:
    title = one_line(culprits_title(finding))
    if title:
        yield _BLANK
        yield Text(f"{title}:" if finding.culprits else title)
    if finding.culprits:
        header = ("bytes", "tensors", "kind", "module", "saved at")
        yield from _table(header, culprit_rows(finding.culprits), room)
    if left_out := culprits_left_out(finding.culprits):
        yield Text(left_out, style="dim")
    if title:
        yield _BLANK


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> Iterator[RenderableType]:
    """Aligned columns, without those that have nothing in any row.

    Where they need more than `room`, the last ones stand below their row, without a header.
    """
    filled = [i for i in range(len(header)) if any(row[i] for row in rows)]
    lines = [[one_line(cells[i]) for i in filled] for cells in (header, *rows)]
    columns = padded(lines)
    ends = itertools.accumulate(map(cell_len, columns[0]), lambda end, width: end + len(GAP) + width)
    beside = max(1, sum(end <= room for end in ends))
    for number, (line, row) in enumerate(zip(lines, columns, strict=True)):
        yield Text(_joined(row[:beside]), style="" if number else "dim", overflow="fold")
        below = _joined(line[beside:])
        if number and below:
            yield _indented(Text(below, overflow="fold"), 2 * len(GAP))


def _joined(cells: Sequence[str]) -> str:
    return GAP.join(cell for cell in cells if cell)


def _indented(part: RenderableType, columns: int) -> Padding:
    return Padding(part, (0, 0, 0, columns), expand=False)


def _labelled(label: str, text: str, style: str = "dim") -> Text:
    return Text.assemble((label, style), one_line(text))
