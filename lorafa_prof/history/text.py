"""A history as people read it in a terminal: what moved and by whom, then every change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from lorafa_prof.explaining.lines import EMPTY, Line, heading, table, text_of
from lorafa_prof.history.history import Change, History, Moment, changes_of, metric_of, moved
from lorafa_prof.words.amounts import Number
from lorafa_prof.words.numbers import percent_change, shown
from lorafa_prof.words.phrases import and_more, count

#: So many changes of one moment are told one by one.
MOST_TOLD = 8


def history_text(history: History, width: int | None) -> str:
    """Return all of it; `width` is the terminal's in columns, None where there is none."""
    changes = changes_of(history)
    lines = [heading(title_of(history)), Line("", conclusion(history, changes)), EMPTY]
    for at in range(len(history.moments)):
        of_moment = [change for change in changes if change.at == at]
        if of_moment or new_versions(history, at):
            lines += [*_moment(history, at, of_moment), EMPTY]
    lines += [Line("note: ", note) for note in history.notes]
    while lines[-1] == EMPTY:
        lines.pop()
    return text_of(lines, width)


def title_of(history: History) -> str:
    """Return what it is the history of, and from when to when."""
    dates = [moment.written[:10] for moment in history.moments if moment.written]
    span = f", {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    return f"{history.of}: {count(len(history.moments), 'state')}{span}"


def conclusion(history: History, changes: Sequence[Change]) -> str:
    """Return what came of it, in a sentence or two."""
    everything, other = history.series, moved(changes)
    values = count(len(everything), "value")
    if len(history.moments) < 2:
        return f"{values}, and nothing yet to hold them against: one state is no history."
    if not other:
        return f"None of {values} moved."
    largest = max(changes, key=lambda change: change.reach)
    moment = history.moments[largest.at]
    subject = f" ({moment.subject})" if moment.subject else ""
    return (
        f"{len(other):,} of {values} moved. The largest change: {largest.series[1]} of "
        f"{history.labels[largest.series[0]]}, {change_text(largest)}, in {moment.name}{subject}."
    )


def _moment(history: History, at: int, changes: Sequence[Change]) -> Iterator[Line]:
    moment = history.moments[at]
    head = "  ".join(filter(None, (moment.written[:10], moment.name)))
    yield Line(f"{head}  ", moment.subject or "", style="bold")
    if versions := new_versions(history, at):
        yield Line("  with ", versions)
    rows = list(_rows(history, changes)) or [("  nothing moved", "", "")]
    yield from list(table(("", "", ""), rows[:MOST_TOLD], left=(0, 1, 2)))[1:]
    if len(rows) > MOST_TOLD:
        yield Line("  ", and_more(len(rows) - MOST_TOLD))


def _rows(history: History, changes: Sequence[Change]) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each change; where all values of a cell come or go, one for all of them."""
    for (cell, came_or_went, told), several in _by_cell(changes):
        label = f"  {history.labels[cell]}"
        if came_or_went and len(several) > 1:
            yield label, count(len(several), "value"), told
        else:
            for change in several:
                yield label, change.series[1], change_text(change)


def _by_cell(changes: Sequence[Change]) -> Iterator[tuple[tuple[str, bool, str], list[Change]]]:
    found: dict[tuple[str, bool, str], list[Change]] = defaultdict(list)
    for change in changes:
        told = "" if change.before is not None and change.after is not None else change_text(change)
        told = "new" if change.before is None else told
        found[change.series[0], bool(told), told].append(change)
    yield from found.items()


def change_text(change: Change) -> str:
    """Return what changed: "+0.500 GiB, +50.00 %", "new: 1.000 GiB", "gone: out of memory"."""
    unit = metric_of(change.series).unit
    if change.after is None:
        return f"gone{': ' if change.why else ''}{change.why}"
    if change.before is None:
        return f"new: {shown(change.after, unit)}"
    return _difference(change.before, change.after, unit)


def _difference(before: Number, after: Number, unit: str) -> str:
    sign = "+" if after > before else ""
    share = f", {percent_change((after - before) / abs(before), 2)}" if before else ""
    return f"{sign}{shown(after - before, unit)}{share}"


def new_versions(history: History, at: int) -> str:
    """Return which packages are of another version than a moment before: "torch 2.12.0 → 2.13.0"."""
    if at == 0:
        return ""
    before, after = (_releases(history.moments[number]) for number in (at - 1, at))
    return ", ".join(
        f"{name} {before[name]} → {version}"
        for name, version in after.items()
        if name in before and before[name] != version
    )


def _releases(moment: Moment) -> dict[str, str]:
    """Versions without their builds: which of PyTorch's it is has no part in a prediction."""
    return {name: (version or "none").split("+")[0] for name, version in moment.packages.items()}
