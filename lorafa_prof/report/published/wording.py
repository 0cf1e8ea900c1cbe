"""How a page says what was claimed, what came of it, and whether that is the same."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.finding import Item, State
from lorafa_prof.claims.metric import FITS
from lorafa_prof.scenario.claim import Claim
from lorafa_prof.words.numbers import shown

#: Why there is no number, as far as a page need not say more.
_REASONS = ("out of memory", "no clock", "not known on this device")
#: Fewer bytes than these are no two decimals of a GB.
_SMALLEST_IN_GB = 1e7


def expectation(claim: Claim) -> str:
    """What the scenario expects, as it is written there."""
    if claim.between is not None:
        text = " to ".join(map(str, claim.between))
    else:
        signs = {"equals": "=", "at_least": "≥", "at_most": "≤"}
        given = [(sign, getattr(claim, key)) for key, sign in signs.items()]
        text = ", ".join(f"{sign} {amount}" for sign, amount in given if amount is not None)
    return text if claim.tolerance is None else f"{text} ± {claim.tolerance}"


def number_in_words(check: Check, item: Item) -> str:
    """A number in the unit that publications have and whether it is as claimed, or why there is none."""
    if item.value is None:
        return next((reason for reason in _REASONS if reason in item.note), item.note)
    return f"{_amount(check, float(item.value))} {'✓' if item.state == 'pass' else '✗'}"


def _amount(check: Check, value: float) -> str:
    unit = check.metric.unit
    if check.metric is FITS:
        return "fits" if value else "out of memory"
    if check.kind == "ratio":
        return f"× {value:.3f}"
    if check.kind == "growth":
        amount = f"{value / 1e6:.3f} MB" if unit == "bytes" else shown(value, unit)
        return f"{amount} per {check.axis}"
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB" if abs(value) >= _SMALLEST_IN_GB else f"{value / 1e6:.3f} MB"
    return f"{value:.1f} ms" if unit == "ms" else shown(value, unit)


def verdict_of_row(states: Sequence[State]) -> str:
    """Whether what is claimed of one combination of settings holds there."""
    if "fail" in states:
        return "in part" if "pass" in states else "not reproduced"
    if "unknown" in states:
        return "as far as it can be judged" if "pass" in states else "cannot be judged"
    return "reproduced"


def verdict_over_rows(states: Sequence[State]) -> str:
    """Whether a claim, or all of a scenario together, holds over combinations of settings."""
    if "pass" not in states:
        return "not reproduced" if "fail" in states else "cannot be judged"
    return "reproduced only under stated conditions" if "fail" in states else "reproduced"
