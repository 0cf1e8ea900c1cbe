"""Judging checks on results: what holds, what fails and by how much, what cannot be judged and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafa_prof.claims.across import across_in, nearest_in
from lorafa_prof.claims.baseline import Baseline
from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.culprits import Blamed, Load, blame
from lorafa_prof.claims.expected import Expected
from lorafa_prof.claims.finding import Finding, Item, State, worst
from lorafa_prof.claims.learned import INCONCLUSIVE, Learned, NobodyEqualError, judge_learned
from lorafa_prof.claims.marked import refusal, remarks
from lorafa_prof.claims.metric import UnknownValueError, value_of
from lorafa_prof.claims.trust import Doubts, apart, doubts_of
from lorafa_prof.results.record import CellResult
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.select import cell_settings
from lorafa_prof.words.amounts import Number
from lorafa_prof.words.numbers import shown, shown_change
from lorafa_prof.words.phrases import and_more, count, first_of

_MOST_NAMED = 5
_WORDS: dict[State, str] = {"pass": "holds", "fail": "fails", "unknown": "cannot be judged"}


def judge_claims(
    loaded: LoadedScenario,
    checks: Sequence[Check],
    results: Mapping[str, CellResult],
    labels: Mapping[str, str],
    baseline: Baseline | None,
    load: Load,
    doubts: Doubts | None = None,
    learned: Learned | None = None,
) -> list[Finding]:
    """One finding for each claim and metric, in the order of the scenario.

    Args:
        loaded: the scenario of the claims, for where they stand.
        checks: what is to be judged.
        results: of the cells by id, as far as there are any.
        labels: what people call the cells, by id.
        baseline: the scenario's; None where there is none.
        load: for the details of those cells whose claims fail.
        doubts: why some of the results cannot be judged; None: what is wrong with them whatever the day.
        learned: the learning runs; None where no check is of them.
    """
    doubts = doubts if doubts is not None else doubts_of(results)
    grouped: dict[tuple[int, str], list[Check]] = defaultdict(list)
    for check in checks:
        grouped[check.index, check.metric.name].append(check)
    known = _Known(results, labels, baseline, doubts, learned or Learned(Path()))
    return [_finding(loaded, group, known, load) for group in grouped.values()]


@dataclass(frozen=True)
class _Known:
    """What there is to judge by."""

    results: Mapping[str, CellResult]
    labels: Mapping[str, str]
    baseline: Baseline | None
    doubts: Doubts
    learned: Learned


@dataclass(frozen=True)
class _Judged:
    """What came of a check.

    Attributes:
        excess: by how much of its bound it fails: above 0 too much, below 0 too little.
        alone: nobody has as much memory as its cell.
        notes: what is doubtful of what it was judged by.
    """

    check: Check
    item: Item
    excess: float = 0.0
    alone: bool = False
    notes: tuple[str, ...] = ()


def _finding(loaded: LoadedScenario, checks: Sequence[Check], known: _Known, load: Load) -> Finding:
    claim, metric = checks[0].claim, checks[0].metric
    judged, left_out = _with_partners([_judged(check, known) for check in checks])
    items = tuple(each.item for each in judged)
    furthest = max(judged, key=lambda each: abs(each.excess))
    blamed = Blamed()
    if furthest.excess:
        blamed = blame(furthest.check, furthest.excess, known.labels, known.baseline, load)
    several = len(claim.metric) > 1
    line = loaded.document.lines.get(("claims", checks[0].index))
    return Finding(
        name=f"{claim.name}: {metric.name}" if several else claim.name,
        items=items,
        word=_word(items),
        about=_about(checks[0]),
        source=claim.source or "",
        file=str(loaded.file) if line else None,
        line=line,
        culprits_of=furthest.item.what if blamed.title else "",
        culprits=blamed.tensors,
        culprits_title=blamed.title,
        notes=(*_notes(checks[0]), *left_out, *_doubts(judged)),
    )


def _word(items: Sequence[Item]) -> str:
    """The finding's, which is inconclusive where that is all that keeps it from holding."""
    state = worst(item.state for item in items)
    unknown = {item.word for item in items if item.state == "unknown"}
    return INCONCLUSIVE if state == "unknown" and unknown == {INCONCLUSIVE} else _WORDS[state]


def _with_partners(judged: Sequence[_Judged]) -> tuple[Sequence[_Judged], list[str]]:
    """What is judged, and a note on whom it is not since nobody has as much memory; of them alone, all."""
    kept = [each for each in judged if not each.alone]
    if not kept or len(kept) == len(judged):
        return judged, []
    told = first_of([f"{e.item.what} ({e.item.note})" for e in judged if e.alone], _MOST_NAMED, "; ")
    left = count(len(judged) - len(kept), "cell")
    return kept, [f"{left} with nobody of equal memory, not judged: {told}"]


def _doubts(judged: Sequence[_Judged]) -> list[str]:
    notes = list(dict.fromkeys(note for each in judged for note in each.notes))
    more = len(notes) - _MOST_NAMED
    return [*notes[:_MOST_NAMED], *([and_more(more)] if more > 0 else [])]


def _notes(check: Check) -> tuple[str, ...]:
    if not check.alone:
        return ()
    labels = first_of([cell.label for cell in check.alone], _MOST_NAMED)
    cells = count(len(check.alone), "cell")
    return (f"{cells} without a neighbour along {check.axis}, not judged: {labels}",)


def _judged(check: Check, known: _Known) -> _Judged:
    try:
        if check.is_learned:
            found = judge_learned(check, known.learned, known.labels)
            return _Judged(check, found.item, found.excess, notes=found.notes)
        return _judged_step(check, known)
    except UnknownValueError as error:
        what = _what(check, known.labels)
        item = Item(what, "unknown", _WORDS["unknown"], expected=str(check.expected), note=str(error))
        return _Judged(check, item, alone=isinstance(error, NobodyEqualError))


def _judged_step(check: Check, known: _Known) -> _Judged:
    expected = check.expected
    values = [_value(cell.cell_id, check, known) for cell in check.cells]
    _see_that_they_go_together(check, known)
    if expected.from_baseline:
        expected = _with_baseline(check, expected, known.baseline, values[0])
    number = _number(check, values)
    excess = expected.excess(number)
    state: State = "fail" if excess else "pass"
    results = [known.results[cell.cell_id] for cell in check.cells]
    told = [*across_in(known.baseline, check), *remarks(results, check.metric, expected, number)]
    item = Item(
        what=_what(check, known.labels),
        state=state,
        word=_WORDS[state],
        measured=_measured(check, number, values),
        expected=_expected_text(check, expected),
        note="; ".join([*([_excess_text(check, excess, values)] if excess else []), *told]),
        value=number,
    )
    bound = abs(number - excess)
    return _Judged(check, item, excess / bound if bound else float(excess))


def _value(cell_id: str, check: Check, known: _Known) -> Number:
    try:
        result = known.results.get(cell_id)
        value = value_of(result, check.metric)
        if cell_id in known.doubts.of_cells:
            raise UnknownValueError(known.doubts.of_cells[cell_id])
        if result and known.doubts.marked == "refuse" and (why := refusal(result, check.metric)):
            raise UnknownValueError(why)
    except UnknownValueError as error:
        if len(check.cells) == 1:
            raise
        raise UnknownValueError(f"{known.labels[cell_id]}: {error}") from error
    return value


def _see_that_they_go_together(check: Check, known: _Known) -> None:
    if check.other is None or not known.doubts.pairs:
        return
    if why := apart(known.results[check.cell.cell_id], known.results[check.other.cell_id]):
        raise UnknownValueError(why)


def _with_baseline(check: Check, expected: Expected, baseline: Baseline | None, now: Number) -> Expected:
    if baseline is None:
        raise UnknownValueError("there is no baseline yet; --update-baseline writes one")
    value = baseline.value(check.cell, check.metric.name, check.across)
    if value is None:
        near = nearest_in(baseline, check, now)
        raise UnknownValueError(f"the baseline does not have it; --update-baseline adds it{near}")
    return expected.with_baseline(value)


def _number(check: Check, values: Sequence[Number]) -> Number:
    if check.kind == "value":
        return values[0]
    value, other = values
    if check.kind == "difference":
        return value - other
    if check.kind == "growth":
        more, less = _on_axis(check)
        slope = (value - other) / (more - less)
        return int(slope) if slope.is_integer() else slope
    if other == 0:
        raise UnknownValueError("what it is compared with is 0")
    return value / other


def _on_axis(check: Check) -> tuple[Number, Number]:
    assert check.axis is not None
    more, less = (cell_settings(cell)[check.axis] for cell in check.cells)
    return more, less


def _what(check: Check, labels: Mapping[str, str]) -> str:
    names = [labels[cell.cell_id] for cell in check.cells]
    if check.kind == "growth":
        more, less = _on_axis(check)
        return f"{names[1]}, {check.axis} {less} to {more}"
    if check.candidates:
        return names[0]
    return " against ".join(names)


def _about(check: Check) -> str:
    claim = check.claim
    selected = ", ".join(f"{key} {value}" for key, value in claim.of.items()) or "every cell"
    text = f"{check.metric.name} of {selected}"
    for words, rule in (("relative to", claim.relative_to), ("less that of", claim.difference_to)):
        if rule is not None:
            text += f" {words} {', '.join(f'{key} {value}' for key, value in rule.items())}"
    if claim.at_equal is not None:
        text += f" at equal {claim.at_equal}"
    if check.axis is not None:
        text += f", growth per {check.axis}"
    return f"{text} {check.expected}"


def _measured(check: Check, number: Number, values: Sequence[Number]) -> str:
    unit = check.metric.unit
    if check.kind == "ratio":
        return f"{number:.4g} ({shown(values[0], unit)} against {shown(values[1], unit)})"
    if check.kind == "growth":
        return f"{shown(number, unit)} per {check.axis}"
    return shown(number, unit)


def _expected_text(check: Check, expected: Expected) -> str:
    return f"{expected} per {check.axis}" if check.kind == "growth" else str(expected)


def _excess_text(check: Check, excess: Number, values: Sequence[Number]) -> str:
    unit, amount = check.metric.unit, abs(excess)
    if check.kind == "ratio":
        amount *= values[1]
    if check.kind != "growth" and unit in ("bytes", "FLOP", "parameters"):
        # There are no parts of a byte, and what fails does so by one at least.
        amount = max(1, round(amount))
    per = f" per {check.axis}" if check.kind == "growth" else ""
    # Without the signs that a change has.
    told = shown_change(amount, unit).replace("+", "")
    return f"{told}{per} {'too much' if excess > 0 else 'too little'}"
