"""The three opinions as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorafa_prof.explaining.flops.differences import UNKNOWN
from lorafa_prof.explaining.flops.modules import Opinions
from lorafa_prof.explaining.flops.rows import OTHERS, PHASES, Opinion, Row, rows_of
from lorafa_prof.explaining.lines import EMPTY, Line, heading, table, text_of
from lorafa_prof.step import Phase
from lorafa_prof.words.numbers import percent, shown
from lorafa_prof.words.phrases import first_of, listed
from lorafa_prof.words.scales import Scale, flop_scale

_MOST_NAMED = 5
_SAID: dict[Opinion, str] = {"closed form": "Closed form", "fvcore": "fvcore, of forward alone"}


def opinions_text(opinions: Opinions, label: str, width: int | None) -> str:
    """Return all of it: what the opinions come to, a table for each phase, and the causes of what differs.

    Args:
        opinions: to tell.
        label: what the cell is called.
        width: of the terminal, in columns; None where there is none.
    """
    rows = rows_of(opinions)
    numbers = _numbers(rows)
    scale = flop_scale(max(*opinions.counted.by_phase.values(), 1e9) / 1000)
    lines = [
        heading(f"{label}, on the twin of {opinions.cell.gpu}: FLOPs of one step"),
        Line("", _sums(opinions)),
        *(Line("", _verdict(opinions, rows, name, numbers)) for name in OTHERS),
        *_uncounted(opinions),
        EMPTY,
    ]
    for phase in PHASES:
        if of_phase := [row for row in rows if row.phase == phase]:
            lines += [*_table(of_phase, phase, scale, numbers), EMPTY]
    lines += [Line(f"[{number}] ", f"{cause}.") for cause, number in numbers.items()]
    lines += [Line("note: ", note) for note in opinions.notes]
    while lines[-1] == EMPTY:
        lines.pop()
    return text_of(lines, width)


def _numbers(rows: Sequence[Row]) -> dict[str, int]:
    """Return the number of each cause, by which the tables name it."""
    causes = dict.fromkeys(cause for row in rows for each in row.causes.values() for cause in each)
    return {cause: number for number, cause in enumerate(causes, start=1)}


def _sums(opinions: Opinions) -> str:
    by_phase = {name: flops for name, flops in opinions.counted.by_phase.items() if flops}
    told = ", ".join(f"{name} {shown(flops, 'FLOP')}" for name, flops in by_phase.items())
    if not opinions.two_n or not opinions.executed.keys() <= (opinions.closed or {}).keys():
        return f"Executed: {told}."  # N would lack weights, such as those of experts
    times = opinions.counted.step / opinions.two_n
    return f"Executed: {told}; in all {times:.3f} × 2N · tokens, with N weights in linear layers."


def _verdict(opinions: Opinions, rows: Sequence[Row], name: Opinion, numbers: dict[str, int]) -> str:
    """Return what one opinion comes to beside the executed FLOPs, in a sentence."""
    said = _SAID[name]
    if name in opinions.missing:
        return f"{said}: not asked ({opinions.missing[name]})."
    differing = [row for row in rows if row.others[name] not in (None, row.executed)]
    if not differing:
        return f"{said}: the same to the last operation, in every module."
    changes = [change for phase in PHASES if (change := _change(rows, name, phase))]
    causes = dict.fromkeys(cause for row in differing for cause in row.causes[name])
    why = " ".join(f"[{numbers[cause]}]" for cause in causes)
    unknown = f"; [{numbers[UNKNOWN]}] is not explained" if UNKNOWN in causes else ""
    return f"{said}: {listed(changes) or 'other modules, the same sum'} {why}{unknown}."


def _change(rows: Sequence[Row], name: Opinion, phase: Phase) -> str:
    """Return by how much an opinion is apart in a phase; nothing if it is not, or says nothing of it."""
    judged = [
        (row.executed, theirs)
        for row in rows
        if row.phase == phase and (theirs := row.others[name]) is not None
    ]
    executed, others = (sum(flops) for flops in zip(*judged, strict=True)) if judged else (0, 0)
    if executed == others:
        return ""
    share = abs(others - executed) / executed if executed else 1.0
    return f"{percent(share, 2)} {'more' if others > executed else 'less'} in {phase}"


def _uncounted(opinions: Opinions) -> Iterator[Line]:
    if left_out := list(opinions.counted.uncounted_products):
        yield Line("", f"Left out for want of a formula: {first_of(left_out, _MOST_NAMED)}.")


def _table(rows: Sequence[Row], phase: Phase, scale: Scale, numbers: dict[str, int]) -> Iterator[Line]:
    others = [name for name in OTHERS if any(row.others[name] is not None for row in rows)]
    sums: list[int] = [sum(row.executed for row in rows)]
    sums += [sum(row.others[name] or 0 for row in rows) for name in others]
    header = [f"{phase}, {scale.unit}", "", "executed", *others, ""]
    lines = [_cells(row, others, scale, numbers) for row in rows]
    lines.append(["all", "", *(scale.text(total) for total in sums), ""])
    yield from table(header, lines, left=(0, len(header) - 1))


def _cells(row: Row, others: Sequence[Opinion], scale: Scale, numbers: dict[str, int]) -> list[str]:
    flops = [row.executed, *(row.others[name] for name in others)]
    causes = dict.fromkeys(cause for name in others for cause in row.causes[name])
    return [
        row.name or "outside of modules",
        f"× {len(row.modules)}" if len(row.modules) > 1 else "",
        *("" if each is None else scale.text(each) for each in flops),
        " ".join(f"[{numbers[cause]}]" for cause in causes),
    ]
