"""Judgements as GitHub-flavoured Markdown: for the summary of a CI run or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorafa_prof.claims.finding import Finding, Judgement, State
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
from lorafa_prof.words.markdown import code, escaped, escaped_html, fitting, header, row
from lorafa_prof.words.phrases import and_more

#: GitHub takes 65,536 characters in a comment, and more in a summary.
MOST_CHARACTERS = 65_000
#: Of them for tables and details, so that there is room for headings and for what is said of the rest.
_OF_THEM_FILLED = 55_000

#: What stands for a state; the worst first.
MARK: dict[State, str] = {"fail": "❌", "unknown": "⚠️", "pass": "✅"}


def markdown(judgements: Sequence[Judgement]) -> str:
    """For each judgement what it comes to, a table of findings, and details of those that do not hold.

    Too long a text is cut at the end of a row or a finding, and says so.
    """
    room = _OF_THEM_FILLED // max(1, len(judgements))
    parts = [_judgement(judgement, room) for judgement in judgements]
    return fitting(parts, MOST_CHARACTERS, "\nToo long for GitHub: {} left out.\n", "scenario")


def _judgement(judgement: Judgement, room: int) -> str:
    worst_first = sorted(judgement.findings, key=lambda finding: list(MARK).index(finding.state))
    machine = f"\n<sub>{escaped(judgement.machine)}</sub>\n" if judgement.machine else ""
    failed = [f"\n❌ failed unexpectedly: {escaped(label)}\n" for label in judgement.cells_failed]
    of_findings = [f"{f.name}: {note}" for f in judgement.findings for note in f.notes]
    notes = [f"\nNote: {escaped(note)}\n" for note in (*judgement.notes, *of_findings)]
    amiss = [finding for finding in worst_first if finding.state != "pass"]
    details = [_details(finding, opened=finding is amiss[0]) for finding in amiss]
    return "".join(
        [
            f"## {MARK[overall([judgement])]} {escaped(judgement.title)}\n",
            f"\n**{escaped(outcome([judgement]))}**\n",
            _findings_table(worst_first, judgement.noun, room // 2) if worst_first else "",
            fitting([*failed, *notes, *details], room // 2, _LEFT_OUT, "part"),
            machine,
            "\n",
        ]
    )


_LEFT_OUT = "\nToo long for GitHub: {} left out; the terminal, JUnit XML and JSON have all.\n"


def _findings_table(findings: Sequence[Finding], noun: str, room: int) -> str:
    rows = [row(f"{MARK[f.state]} {escaped(f.word)}", escaped(f.name), escaped(summary(f))) for f in findings]
    return header("", noun, "result") + fitting(rows, room, _LEFT_OUT, noun)


def _details(finding: Finding, *, opened: bool) -> str:
    name, word = escaped_html(finding.name), escaped_html(finding.word)
    parts = [
        f"\n<details{' open' if opened else ''}>\n",
        f"<summary>{MARK[finding.state]} <b>{name}</b>: {word}</summary>\n",
        f"\nJudged: {escaped(finding.about)}\n" if finding.about else "",
        *_items(finding),
        *_culprits(finding),
        _written(finding),
        "\n</details>\n",
    ]
    return "".join(parts)


def _items(finding: Finding) -> Iterator[str]:
    items = items_amiss(finding)
    yield header("", "measured", "expected", "", "of")
    for item in items[:MOST_ITEMS]:
        yield row(*map(escaped, (item.word, item.measured, item.expected, item.note, item.what)))
    if len(items) > MOST_ITEMS:
        yield f"\n{and_more(len(items) - MOST_ITEMS)}\n"


def _culprits(finding: Finding) -> Iterator[str]:
    if title := escaped(culprits_title(finding)):
        yield f"\n**{title}**\n"
    if finding.culprits:
        yield header("bytes", "tensors", "kind", "module", "saved at")
    for culprit in culprit_rows(finding.culprits):
        words = map(escaped, (culprit.growth, culprit.tensors, culprit.kind))
        yield row(*words, code(culprit.module), code(culprit.line))
    if left_out := culprits_left_out(finding.culprits):
        yield f"\n{left_out}\n"


def _written(finding: Finding) -> str:
    line = "" if finding.line is None else f":{finding.line}"
    parts = [
        f"Source: {escaped(finding.source)}" if finding.source else "",
        f"Written in: {code(f'{finding.file}{line}')}" if finding.file is not None else "",
    ]
    text = "<br>".join(part for part in parts if part)
    return f"\n{text}\n" if text else ""
