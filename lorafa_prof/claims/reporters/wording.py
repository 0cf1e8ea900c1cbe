"""What all reporters say of judgements: lines of a finding, rows of a table, what it all comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lorafa_prof.claims.finding import Finding, Item, Judgement, State, worst
from lorafa_prof.results.tensors import Held, TensorChange
from lorafa_prof.words.numbers import size_change
from lorafa_prof.words.phrases import and_more, count, one_line

#: So many are shown of what may be hundreds; how many more there are is said.
MOST_ITEMS = 8
MOST_CULPRITS = 10

_ORDER: tuple[State, ...] = ("pass", "fail", "unknown")
_PLURAL = {"holds": "hold", "fails": "fail"}


def outcome(judgements: Sequence[Judgement]) -> str:
    """What it all comes to: "5 claims: 3 hold, 1 fails, 1 cannot be judged"."""
    findings = [finding for judgement in judgements for finding in judgement.findings]
    nouns = {judgement.noun for judgement in judgements}
    noun = nouns.pop() if len(nouns) == 1 else "finding"
    judged = f"{count(len(findings), noun)}: {_words(findings)}" if findings else f"no {noun} was judged"
    failed = sum(len(judgement.cells_failed) for judgement in judgements)
    return f"{judged}; {count(failed, 'cell')} failed unexpectedly" if failed else judged


def overall(judgements: Sequence[Judgement]) -> State:
    """The worst of all; a cell that failed unexpectedly is a failure."""
    if any(judgement.cells_failed for judgement in judgements):
        return "fail"
    return worst(finding.state for judgement in judgements for finding in judgement.findings)


def _words(judged: Sequence[Finding | Item]) -> str:
    """How many there are of each word, those that are as they should be first."""
    words = Counter(each.word for each in sorted(judged, key=lambda each: _ORDER.index(each.state)))
    told = (f"{n:,} {_PLURAL.get(word, word) if n > 1 else word}" for word, n in words.items())
    return one_line(", ".join(told))


def items_amiss(finding: Finding) -> list[Item]:
    """The items that do not hold, failures first."""
    return sorted(
        (item for item in finding.items if item.state != "pass"), key=lambda item: item.state != "fail"
    )


def summary(finding: Finding) -> str:
    """The finding in one line: what was measured, what was expected, by how much it fails and where."""
    item = _main_item(finding)
    if finding.state == "pass" and not item.note:
        return _what_holds(finding)
    alike = [i for i in finding.items if i.state == item.state and (i.state != "pass" or i.word == item.word)]
    more = f" ({and_more(len(alike) - 1)})" if len(alike) > 1 else ""
    return f"{item.what}: {_joined(item.measured, item.expected, item.note)}{more}"


def _main_item(finding: Finding) -> Item:
    """The one to name where there is room for one: the one explained, else one that says most."""
    alike = [item for item in finding.items if item.state == finding.state]
    return min(
        alike, key=lambda item: (item.what != finding.culprits_of, item.word != finding.word, not item.note)
    )


def _what_holds(finding: Finding) -> str:
    """A range where the same is expected of all items, else how many there are."""
    limits = {item.expected for item in finding.items}
    known = [item for item in finding.items if item.value is not None and item.measured]
    if len(limits) > 1 or len(known) < len(finding.items):
        return _words(finding.items)
    low, high = (choose(known, key=lambda item: item.value or 0).measured for choose in (min, max))
    return _joined(low if low == high else f"{low} to {high}", limits.pop())


def _joined(measured: str, expected: str, note: str = "") -> str:
    texts = (measured, f"expected {expected}" if expected else "", note)
    return ", ".join(text for text in texts if text)


class Culprit(NamedTuple):
    """A row of the table of what makes the difference, as text."""

    growth: str
    tensors: str
    kind: str
    module: str
    line: str


def culprit_rows(culprits: Sequence[TensorChange]) -> list[Culprit]:
    """A row for each of the largest."""
    return [
        Culprit(
            size_change(change.delta_bytes),
            _tensors(change),
            change.key.kind,
            change.key.module,
            change.after.line or change.before.line,
        )
        for change in culprits[:MOST_CULPRITS]
    ]


def culprits_title(finding: Finding) -> str:
    """What the culprits are, or why there are none; empty where nothing is to be said of them."""
    if finding.culprits_title or not finding.culprits:
        return finding.culprits_title
    of = f" in {finding.culprits_of}" if finding.culprits_of else ""
    return f"what makes the difference{of}"


def culprits_left_out(culprits: Sequence[TensorChange]) -> str:
    """What of them is not among `culprit_rows`; empty where all are."""
    rest = culprits[MOST_CULPRITS:]
    if not rest:
        return ""
    return f"{and_more(len(rest))}, together {size_change(sum(change.delta_bytes for change in rest))}"


def culprit_line(change: TensorChange) -> str:
    """One of them as a line."""
    (row,) = culprit_rows([change])
    what = " ".join(part for part in (row.tensors, row.kind) if part)
    where = f" in {row.module}" if row.module else ""
    return f"{row.growth}: {what}{where}" + (f" ({row.line})" if row.line else "")


def _tensors(change: TensorChange) -> str:
    key = change.key
    if not (key.dtype or key.module):
        return ""
    shape = f" {key.dtype}[{'×'.join(map(str, key.shape))}]" if key.dtype else ""
    return f"{_counts(change.before, change.after)} ×{shape}"


def _counts(before: Held, after: Held) -> str:
    if before.count in (0, after.count):
        return f"{after.count:,}"
    return f"{before.count:,} → {after.count:,}"
