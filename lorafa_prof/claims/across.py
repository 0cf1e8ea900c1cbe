"""Cells of a baseline whose settings are not those of the cell that is judged by them."""

from __future__ import annotations

from lorafa_prof.claims.baseline import Baseline
from lorafa_prof.claims.checks import Check
from lorafa_prof.scenario.select import chosen_settings, differing_chosen
from lorafa_prof.words.amounts import Number
from lorafa_prof.words.numbers import shown_change


def across_in(baseline: Baseline | None, check: Check) -> list[str]:
    """What a reader of the verdict must know: in what the baseline's cell differs; nothing if in nothing."""
    known = baseline.cell(check.cell, check.across) if baseline is not None and check.across else None
    apart = differing_chosen(known.settings, chosen_settings(check.cell)) if known and known.settings else {}
    return [f"across {_listed(apart)}"] if apart else []


def nearest_in(baseline: Baseline, check: Check, now: Number) -> str:
    """What the baseline has of the one cell that differs in a single setting, and what judges it.

    Args:
        baseline: that does not have the cell.
        check: of that cell.
        now: the cell's value.
    """
    name = check.metric.name
    near = [each for each in baseline.others(check.cell) if len(each[1]) == 1 and name in each[0].metrics]
    if len(near) != 1:
        return ""
    known, apart = near[0]
    change = shown_change(now - known.metrics[name], check.metric.unit)
    return f"; {_listed(apart)}: {change} ('across: {next(iter(apart))}' judges that)"


def _listed(apart: dict[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in apart.items())
