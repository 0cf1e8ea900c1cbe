"""Judgements as GitHub-flavoured Markdown: for the summary of a CI run or a comment on a pull request."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from lorafa_prof.claims.finding import Finding, Judgement, State
from lorafa_prof.claims.reporters.wording import (
    MOST_ITEMS,
    count,
    culprit_rows,
    culprits_left_out,
    culprits_title,
    items_amiss,
    one_line,
    outcome,
    overall,
    summary,
)

#: GitHub takes 65,536 characters in a comment, and more in a summary.
MOST_CHARACTERS = 65_000
#: Of them for tables and details, so that there is room for headings and for what is said of the rest.
_OF_THEM_FILLED = 55_000
#: Of one text, such as a name.
_MOST_OF_A_TEXT = 300

_MARK: dict[State, str] = {"fail": "❌", "unknown": "⚠️", "pass": "✅"}
#: So that a name is no link, emphasis or formula; an underscore within a word is none either.
_MARKUP = re.compile(r"[\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])")
_URL = re.compile(r"(https?://[\w./%?=~:#+-]+)")
#: Two signs that call a person or an issue, unless something stands between them and the name.
_CALL = re.compile(r"[@#](?=\w)")
_NOTHING_TO_SEE = "\u200b"


def markdown(judgements: Sequence[Judgement]) -> str:
    """For each judgement what it comes to, a table of findings, and details of those that do not hold.

    Too long a text is cut at the end of a row or a finding, and says so.
    """
    room = _OF_THEM_FILLED // max(1, len(judgements))
    parts = [_judgement(judgement, room) for judgement in judgements]
    return _fitting(parts, MOST_CHARACTERS, "\nToo long for GitHub: {} left out.\n", "scenario")


def _judgement(judgement: Judgement, room: int) -> str:
    worst_first = sorted(judgement.findings, key=lambda finding: list(_MARK).index(finding.state))
    machine = f"\n<sub>{_escaped(judgement.machine)}</sub>\n" if judgement.machine else ""
    failed = [f"\n❌ failed unexpectedly: {_escaped(label)}\n" for label in judgement.cells_failed]
    notes = [f"\nNote: {_escaped(note)}\n" for note in judgement.notes]
    amiss = [finding for finding in worst_first if finding.state != "pass"]
    details = [_details(finding, opened=finding is amiss[0]) for finding in amiss]
    return "".join(
        [
            f"## {_MARK[overall([judgement])]} {_escaped(judgement.title)}\n",
            f"\n**{_escaped(outcome([judgement]))}**\n",
            _findings_table(worst_first, judgement.noun, room // 2) if worst_first else "",
            _fitting([*failed, *notes, *details], room // 2, _LEFT_OUT, "part"),
            machine,
            "\n",
        ]
    )


_LEFT_OUT = "\nToo long for GitHub: {} left out; the terminal, JUnit XML and JSON have all.\n"


def _fitting(parts: Iterable[str], room: int, left_out: str, noun: str) -> str:
    """The first of `parts` that fit into `room` characters; then `left_out`, with how many do not."""
    parts = list(parts)
    ends = itertools.accumulate(map(len, parts))
    kept = sum(end <= room for end in ends)
    rest = len(parts) - kept
    return "".join(parts[:kept]) + (left_out.format(count(rest, noun)) if rest else "")


def _findings_table(findings: Sequence[Finding], noun: str, room: int) -> str:
    rows = [
        _row(f"{_MARK[f.state]} {_escaped(f.word)}", _escaped(f.name), _escaped(summary(f))) for f in findings
    ]
    return _header("", noun, "result") + _fitting(rows, room, _LEFT_OUT, noun)


def _details(finding: Finding, *, opened: bool) -> str:
    # Markdown has no say on the line of the summary.
    name, word = (
        _uncalled(html.escape(_shortened(text), quote=False)) for text in (finding.name, finding.word)
    )
    parts = [
        f"\n<details{' open' if opened else ''}>\n",
        f"<summary>{_MARK[finding.state]} <b>{name}</b>: {word}</summary>\n",
        f"\nJudged: {_escaped(finding.about)}\n" if finding.about else "",
        *_items(finding),
        *_culprits(finding),
        _written(finding),
        "\n</details>\n",
    ]
    return "".join(parts)


def _items(finding: Finding) -> Iterator[str]:
    items = items_amiss(finding)
    yield _header("", "measured", "expected", "", "of")
    for item in items[:MOST_ITEMS]:
        yield _row(*map(_escaped, (item.word, item.measured, item.expected, item.note, item.what)))
    if len(items) > MOST_ITEMS:
        yield f"\nand {len(items) - MOST_ITEMS:,} more\n"


def _culprits(finding: Finding) -> Iterator[str]:
    if title := _escaped(culprits_title(finding)):
        yield f"\n**{title}**\n"
    if finding.culprits:
        yield _header("bytes", "tensors", "kind", "module", "saved at")
    for row in culprit_rows(finding.culprits):
        yield _row(*map(_escaped, (row.growth, row.tensors, row.kind)), _code(row.module), _code(row.line))
    if left_out := culprits_left_out(finding.culprits):
        yield f"\n{left_out}\n"


def _written(finding: Finding) -> str:
    line = "" if finding.line is None else f":{finding.line}"
    parts = [
        f"Source: {_escaped(finding.source)}" if finding.source else "",
        f"Written in: {_code(f'{finding.file}{line}')}" if finding.file is not None else "",
    ]
    text = "<br>".join(part for part in parts if part)
    return f"\n{text}\n" if text else ""


def _header(*cells: str) -> str:
    return "\n" + _row(*cells) + _row(*["---"] * len(cells))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _escaped(text: str) -> str:
    """`text` as it stands, whatever is in it, in a paragraph or a cell of a table; only links stay links."""
    parts = _URL.split(_shortened(text))
    # Every second one is a link.
    parts[::2] = [_uncalled(_MARKUP.sub(r"\\\g<0>", html.escape(p, quote=False))) for p in parts[::2]]
    return "".join(parts).replace("|", "&#124;")


def _code(text: str) -> str:
    text = _shortened(text)
    # In a cell no way of writing these within code holds everywhere.
    return f"`{text}`" if text and not re.search(r"[`|\\]", text) else _escaped(text)


def _uncalled(text: str) -> str:
    return _CALL.sub(rf"\g<0>{_NOTHING_TO_SEE}", text)


def _shortened(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _MOST_OF_A_TEXT else f"{text[:_MOST_OF_A_TEXT]}…"
