"""What a claim expects of a number: its bounds in the number's own unit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from lorafa_prof.scenario.claim import BASELINE, Amount, Claim
from lorafa_prof.words.amounts import Number, exact, parse_amount, plain
from lorafa_prof.words.numbers import shown


class BoundError(ValueError):
    """A bound that means nothing; `key` is the claim's key that has it."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Expected:
    """A number is expected from `low` to `high`, both included; None is no bound.

    Attributes:
        low, high: in `unit`.
        unit: of a column; "" for a ratio.
        slack, slack_share: so much, and such a share of the bound, may be lacking or too much.
        low_from_baseline, high_from_baseline: the bound is the baseline's, see `with_baseline`.
    """

    low: Number | None
    high: Number | None
    unit: str
    slack: Number = 0
    slack_share: float = 0.0
    low_from_baseline: bool = False
    high_from_baseline: bool = False

    @property
    def from_baseline(self) -> bool:
        """Whether a bound is the baseline's."""
        return self.low_from_baseline or self.high_from_baseline

    def with_baseline(self, value: Number) -> Expected:
        """The same, with the baseline's value in its place."""
        return replace(
            self,
            low=value if self.low_from_baseline else self.low,
            high=value if self.high_from_baseline else self.high,
        )

    @property
    def limits(self) -> tuple[Number, Number]:
        """The least and the most that holds, with the tolerance; infinite where there is no bound."""
        return (
            -math.inf if self.low is None else plain(exact(self.low) - self._slack(self.low)),
            math.inf if self.high is None else plain(exact(self.high) + self._slack(self.high)),
        )

    def _slack(self, bound: Number) -> Fraction:
        # In floats 0.7 and 0.1 are less than 0.8, which would then fail.
        return exact(self.slack) + abs(exact(bound)) * exact(self.slack_share)

    def excess(self, value: Number) -> Number:
        """How much `value` is above the upper bound, or (below 0) below the lower one; 0 where it holds."""
        least, most = self.limits
        if self.high is not None and value > most:
            return plain(exact(value) - exact(self.high))
        if self.low is not None and value < least:
            return plain(exact(value) - exact(self.low))
        return 0

    def __str__(self) -> str:
        low, high = (
            self._bound_text(self.low, self.low_from_baseline),
            self._bound_text(self.high, self.high_from_baseline),
        )
        if self.low == self.high and self.low_from_baseline == self.high_from_baseline:
            text = f"= {low}"
        elif not low:
            text = f"≤ {high}"
        elif not high:
            text = f"≥ {low}"
        else:
            text = f"{low} to {high}"
        slack = [shown(self.slack, self.unit)] if self.slack else []
        share = [shown(100 * self.slack_share, "%")] if self.slack_share else []
        return " ± ".join([text, *slack, *share])

    def _bound_text(self, bound: Number | None, from_baseline: bool) -> str:
        if bound is None:
            return "the baseline" if from_baseline else ""
        return shown(bound, self.unit)


def expected_of(claim: Claim, unit: str) -> Expected:
    """The bounds of `claim`, whose number is in `unit` ("" for a ratio).

    Raises:
        BoundError: a bound is no amount of that unit, or the least is more than the most.
    """
    written: tuple[tuple[Amount | None, str], tuple[Amount | None, str]]
    if claim.between is not None:
        written = ((claim.between[0], "between"), (claim.between[1], "between"))
    elif claim.equals is not None:
        written = ((claim.equals, "equals"), (claim.equals, "equals"))
    else:
        written = ((claim.at_least, "at_least"), (claim.at_most, "at_most"))
    low, high = (_bound(amount, unit, key) for amount, key in written)
    if low is not None and high is not None and low > high:
        raise BoundError("the least is more than the most: nothing could hold", written[0][1])
    slack, share = _tolerance(claim.tolerance, unit)
    from_baseline = [amount == BASELINE for amount, _ in written]
    return Expected(low, high, unit, slack, share, *from_baseline)


def _bound(written: Amount | None, unit: str, key: str) -> Number | None:
    if written is None or (written == BASELINE and key != "between"):
        return None
    return _amount(written, unit, key)


def _tolerance(written: Amount | None, unit: str) -> tuple[Number, float]:
    """Absolute and relative slack; a percentage is always of the bound."""
    if written is None:
        return 0, 0.0
    relative = isinstance(written, str) and written.strip().endswith("%")
    amount = _amount(written, "" if relative else unit, "tolerance")
    if amount < 0:
        raise BoundError("a tolerance is not negative", "tolerance")
    if unit == "" and not relative and amount >= 1:
        raise BoundError(
            f"of a ratio, {written} is {shown(100 * amount, '%')}: write '{written} %' for that share of the "
            "bound, or what the ratio may differ by, such as 0.05",
            "tolerance",
        )
    return (0, float(amount)) if relative else (amount, 0.0)


def _amount(written: Amount, unit: str, key: str) -> Number:
    try:
        return parse_amount(written, unit)
    except ValueError as error:
        raise BoundError(str(error), key) from error
