"""A report as GitHub-flavoured Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorafa_prof.claims.finding import Judgement
from lorafa_prof.claims.reporters.markdown import MARK
from lorafa_prof.claims.reporters.wording import culprit_line, outcome, summary
from lorafa_prof.report.cells_table import cells_table
from lorafa_prof.report.content import Content
from lorafa_prof.report.equal_cells import EqualCells
from lorafa_prof.report.learned_table import COMPARED_HEADER, HEADER, LearnedTable
from lorafa_prof.words.markdown import escaped, fitting, header, row
from lorafa_prof.words.phrases import count

#: GitHub takes 65,536 characters in a comment, which may have more than a report in it.
MOST_CHARACTERS = 60_000
_OF_THEM_CLAIMS = 15_000
_OF_THEM_NOTES = 5_000
_OF_THEM_LEARNED = 10_000
#: For what stands below the table of cells.
_ROOM_BELOW = 2_500

_MOST_OPEN = 24
_MOST_CULPRITS = 3


def markdown_report(content: Content) -> str:
    """Summary, claims and a table of cells; what there is no room for is counted."""
    above = [
        f"## {escaped(content.title)}\n\n",
        fitting(
            (f"> {escaped(note)}\n>\n" for note in content.notes), _OF_THEM_NOTES, "> {} left out\n", "note"
        ),
        "\n" if content.notes else "",
        f"**{escaped(content.summary.headline.text)}**\n\n" if content.summary.headline else "",
        *(f"- {escaped(sentence)}\n" for sentence in content.summary.sentences),
        *(_equal_cells(content.summary.shown) if content.summary.shown else ()),
        *(_learned(content.learned) if content.learned else ()),
        *(_claims(content.judgement) if content.judgement else ()),
    ]
    below = _provenance(content)
    room = MOST_CHARACTERS - sum(map(len, above)) - _ROOM_BELOW
    return "".join([*above, *(_cells(content, room) if content.cells else ()), below])


def _equal_cells(group: EqualCells) -> Iterator[str]:
    if group.about:
        yield f"\nAt equal settings: {escaped(group.about)}\n"
    yield header(*group.header)
    yield from (row(*map(escaped, line)) for line in group.rows)
    if group.left_out:
        yield f"\n{group.left_out}\n"


def _learned(learned: LearnedTable) -> Iterator[str]:
    yield f"\n### Learning\n\n{learned.about}.\n"
    yield from _table(HEADER, learned.rows, "cell")
    if learned.compared:
        yield f"\n{learned.compared_about}.\n"
        yield from _table(COMPARED_HEADER, learned.compared, "comparison")
    if learned.notes:
        yield "\n"
    yield fitting(
        (f"- {escaped(note)}\n" for note in learned.notes), _OF_THEM_NOTES, "- {} left out\n", "note"
    )


def _table(names: Sequence[str], lines: Sequence[Sequence[str]], noun: str) -> Iterator[str]:
    yield header(*names)
    yield fitting((row(*map(escaped, line)) for line in lines), _OF_THEM_LEARNED, "\n{} left out\n", noun)


def _claims(judgement: Judgement) -> Iterator[str]:
    yield f"\n### Claims\n\n{escaped(outcome([judgement]))}\n"
    yield header("", "claim", "result")
    rows = []
    for finding in sorted(judgement.findings, key=lambda finding: list(MARK).index(finding.state)):
        blamed = "".join(f"<br>{escaped(culprit_line(c))}" for c in finding.culprits[:_MOST_CULPRITS])
        source = f"<br>Source: {escaped(finding.source)}" if finding.source else ""
        verdict = f"{MARK[finding.state]} {escaped(finding.word)}"
        rows.append(row(verdict, escaped(finding.name) + source, escaped(summary(finding)) + blamed))
    yield fitting(rows, _OF_THEM_CLAIMS, "\n{} left out: report.html has all\n", "claim")


def _cells(content: Content, room: int) -> Iterator[str]:
    yield "\n### Cells\n"
    if content.shared:
        yield f"\nAll cells: {escaped(content.shared)}\n"
    folded = len(content.cells) > _MOST_OPEN
    if folded:
        yield f"\n<details><summary>{count(len(content.cells), 'cell')}</summary>\n"
    names, *lines = cells_table([cell.row for cell in content.cells], content.varying)
    yield header(*names)
    yield fitting(
        (row(*map(escaped, line)) for line in lines), room, "\n{} left out: results.csv has all\n", "cell"
    )
    if folded:
        yield "\n</details>\n"


def _provenance(content: Content) -> str:
    versions = [
        f"{name} {version}"
        for each in content.environments[:1]
        for name, version in (each.get("packages") or {}).items()
        if version and name in ("lorafa-prof", "torch", "transformers", "peft")
    ]
    parts = [escaped(content.command), escaped(", ".join(versions))]
    told = "<br>".join(part for part in parts if part)
    return f"\n<sub>{told}</sub>\n" if told else ""
