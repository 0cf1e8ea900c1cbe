"""Comparing two runs: a finding for each cell that both have, and the exit code of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.comparing.comparable import Differences, bars, differences, told_versions
from lorafa_prof.comparing.growth import explained
from lorafa_prof.comparing.metrics import STATES, Comparison, Word, compare_metrics
from lorafa_prof.comparing.pairs import OutcomePair, Pairing, nearest_pair, pair_cells
from lorafa_prof.comparing.sides import Outcome, Side
from lorafa_prof.scenario.labels import distinct_labels
from lorafa_prof.words.phrases import and_more, count, first_of, listed

#: So many cells are named of those that only one side has.
_MOST_NAMED = 10


def compare(base: Side, new: Side, asked: Comparison) -> Judgement:
    """Return the judgement of comparing the cells of `new` with those of `base`.

    The exit code is 3 where something got worse, else 1 where a cell that was ok failed, 4 where nothing
    could be compared or NEW lacks cells or metrics of BASE, and 0 where all that could be compared is as good
    as it was.
    """
    pairing = pair_cells(base.outcomes, new.outcomes, asked.across)
    labels = _labels(pairing)
    findings = tuple(_finding(pair, labels[pair[1].cell.cell_id], asked) for pair in pairing.pairs)
    items = [item for finding in findings for item in finding.items]
    gone = [] if asked.allow_missing else _gone(pairing, items)
    code = _exit_code(items, gone)
    nothing = [_why_nothing(pairing, items, asked)] if code == 4 and not _any_pass(items) else []
    return Judgement(
        title=f"{base.out} → {new.out}",
        findings=findings,
        exit_code=code,
        notes=(*nothing, *gone, *_notes(pairing, labels, asked)),
        machine=_machine([new for _, new in pairing.pairs]),
        noun="cell",
    )


def _labels(pairing: Pairing) -> dict[str, str]:
    outcomes = [*(new for _, new in pairing.pairs), *pairing.only_base, *pairing.only_new]
    return distinct_labels([outcome.cell for outcome in outcomes])


def _finding(pair: OutcomePair, label: str, asked: Comparison) -> Finding:
    base, new = pair
    differing = differences(base, new)
    items = _items(base, new, differing, asked)
    word = next(word for word in STATES if any(item.word == word for item in items))
    asked_for = _asked_for(differing, asked)
    about = f"compared across {_listed(asked_for)}" if asked_for else ""
    culprits_of, culprits = explained(items, base, new)
    return Finding(label, tuple(items), word, about=about, culprits_of=culprits_of, culprits=culprits)


def _asked_for(differing: Differences, asked: Comparison) -> Differences:
    return {name: text for name, text in differing.items() if name in asked.across}


def _items(base: Outcome, new: Outcome, differing: Differences, asked: Comparison) -> list[Item]:
    for name, side in (("BASE", base), ("NEW", new)):
        if doubt := _doubt(side):
            return [_not_compared(f"{name}: {doubt}")]
    if barring := bars(differing, asked.across):
        return [_not_compared(f"{_listed(barring)}; {_remedy(barring)}")]
    if (base.status, new.status) != ("ok", "ok"):
        return [_by_status(base, new)]
    for name, side in (("BASE", base), ("NEW", new)):
        if side.num_alloc_retries:
            why = "memory was so short that its allocator gave cached blocks back (num_alloc_retries"
            return [_not_compared(f"{name}: {why} {side.num_alloc_retries}), which moves everything")]
    items = compare_metrics(base, new, differing, asked)
    return items or [_not_compared("BASE has none of the metrics")]


def _doubt(side: Outcome) -> str:
    """Why the numbers of a cell stand for nothing."""
    if side.contradicted:
        return f"its row is not of its cell: {listed(side.contradicted)} differ"
    # Of a cell whose process died it is told that it did, wherever that was.
    if side.status == "ok" and (side.origin is None or not side.origin.packages):
        return "nobody knows what made it: its record names no versions"
    return ""


def _not_compared(why: str) -> Item:
    return Item("cell", STATES["not comparable"], "not comparable", note=why)


def _by_status(base: Outcome, new: Outcome) -> Item:
    """Return the item for two cells of which one did not finish, so that no metric can be compared."""
    message = str(new.row.get("message") or "")
    if base.status == "ok":
        return _row("worse" if new.status == "oom" else "failed", base, new, message)
    if (base.status, new.status) == ("oom", "ok"):
        return _row("better", base, new, "it fits into memory now")
    return _row("not comparable", base, new, f"BASE has no numbers: {_status(base)}")


def _row(word: Word, base: Outcome, new: Outcome, note: str) -> Item:
    return Item("status", STATES[word], word, _status(new), _status(base), note)


def _status(outcome: Outcome) -> str:
    status = "out of memory" if outcome.status == "oom" else outcome.status
    phase = outcome.row.get("failed_phase")
    return f"{status} in {phase}" if phase else status


def _listed(differing: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in differing.items())


def _of_all(several: Iterable[Differences]) -> Differences:
    """Return the differences of several pairs as those of one: the first text of each, and … for others."""
    texts_by_name: dict[str, list[str]] = defaultdict(list)
    for name, text in (item for differing in several for item in differing.items()):
        texts_by_name[name].append(text)
    return {
        name: f"{texts[0]}{', …' if len(set(texts)) > 1 else ''}" for name, texts in texts_by_name.items()
    }


def _remedy(barring: Mapping[str, str]) -> str:
    return f"--across {','.join(barring)} compares them"


def _gone(pairing: Pairing, items: Sequence[Item]) -> list[str]:
    """What BASE has and NEW has not, in a line each: of that nobody can say that it is as good as it was."""
    cells = [outcome for outcome in pairing.only_base if outcome.status in ("ok", "oom")]
    metrics = dict.fromkeys(item.what for item in items if item.word == "gone")
    remedy = "--allow-missing compares the rest"
    return [
        *([f"NEW lacks {count(len(cells), 'cell')} of BASE's; {remedy}"] if cells and pairing.pairs else []),
        *([f"NEW has lost {listed(metrics)} in some or all cells; {remedy}"] if metrics else []),
    ]


def _exit_code(items: Sequence[Item], gone: Sequence[str]) -> int:
    if any(item.state == "fail" and item.word != "failed" for item in items):
        return 3
    if any(item.word == "failed" for item in items):
        return 1
    return 0 if not gone and _any_pass(items) else 4


def _any_pass(items: Sequence[Item]) -> bool:
    return any(item.state == "pass" for item in items)


def _why_nothing(pairing: Pairing, items: Sequence[Item], asked: Comparison) -> str:
    """Return why nothing could be compared, in one line."""
    if not pairing.pairs:
        return f"nothing was compared: {_why_no_pair(pairing)}"
    barring = [bars(differences(base, new), asked.across) for base, new in pairing.pairs]
    if all(barring):
        every = _of_all(barring)
        return f"nothing was compared: every cell differs in {_listed(every)}; {_remedy(every)}"
    first, *others = dict.fromkeys(f"{item.what} {item.word}: {item.note}" for item in items)
    more = f" ({and_more(len(others))})" if others else ""
    return f"nothing could be compared: {first}{more}"


def _why_no_pair(pairing: Pairing) -> str:
    if not pairing.only_base or not pairing.only_new:
        return f"{'NEW' if pairing.only_base else 'BASE'} has no cells"
    one, other = nearest_pair(pairing.only_base, pairing.only_new)
    nearest = _listed(differences(one, other))
    return (
        "the two have no cell in common, nor settings by which cells have one partner each; "
        f"the nearest differ in {nearest}"
    )


def _notes(pairing: Pairing, labels: Mapping[str, str], asked: Comparison) -> list[str]:
    across = _of_all(_asked_for(differences(base, new), asked) for base, new in pairing.pairs)
    notes = [f"compared across {_listed(across)}"] if across else []
    notes += [
        f"only in {side}: {_named(outcomes, labels)}"
        for side, outcomes in (("BASE", pairing.only_base), ("NEW", pairing.only_new))
        if outcomes
    ]
    if versions := told_versions(pairing.pairs):
        notes.append(f"BASE → NEW: {', '.join(versions)}")
    return notes


def _named(outcomes: Sequence[Outcome], labels: Mapping[str, str]) -> str:
    names = [labels[outcome.cell.cell_id] for outcome in outcomes]
    return f"{count(len(names), 'cell')}: {first_of(names, _MOST_NAMED)}"


def _machine(outcomes: Sequence[Outcome]) -> str:
    """Return where the results of NEW come from: devices, PyTorch, transformers."""
    origins = [outcome.origin for outcome in outcomes if outcome.origin is not None]
    versions = [f"{name} {m.version(name)}" for m in origins for name in ("torch", "transformers")]
    return ", ".join(dict.fromkeys([*map(_device, outcomes), *versions]))


def _device(outcome: Outcome) -> str:
    if outcome.kind == "sim":
        return f"twin of {outcome.cell.gpu}"
    return outcome.cell.gpu or "CPU"
