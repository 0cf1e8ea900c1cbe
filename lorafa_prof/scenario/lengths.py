"""Lengths that vary from step to step: listed, or drawn from a named distribution."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, model_validator

from lorafa_prof.frozen_data import Frozen

Tokens = Annotated[StrictInt, Field(ge=1, lt=2**31)]
#: Of a run, so that it ends.
MOST_STEPS = 10_000
#: How many standard deviations a bound of a distribution is away from its middle.
_BOUND_AT = 2.0


def _uniform(share: float, low: int, high: int) -> float:
    return low - 0.5 + share * (high - low + 1)


def _lognormal(share: float, low: int, high: int) -> float:
    """The logarithm is normal around the middle of the bounds', which are two standard deviations away."""
    middle, half = (math.log(high) + math.log(low)) / 2, (math.log(high) - math.log(low)) / 2
    return math.exp(middle + half / _BOUND_AT * NormalDist().inv_cdf(share))


#: By name: from a share between 0 and 1 and the bounds to the length that this share of all lengths is below.
_QUANTILES: Mapping[str, Callable[[float, int, int], float]] = {"uniform": _uniform, "lognormal": _lognormal}


class Lengths(Frozen):
    """The lengths of a run's batches, one for each step, in tokens.

    Either `lengths` has them, or `distribution` with its bounds, both included, and number of steps; what
    is drawn beyond a bound becomes that bound.
    """

    lengths: Annotated[tuple[Tokens, ...], Field(min_length=1, max_length=MOST_STEPS)] | None = None
    distribution: Literal["uniform", "lognormal"] | None = None
    min: Tokens | None = None
    max: Tokens | None = None
    steps: Annotated[StrictInt, Field(ge=1, le=MOST_STEPS)] | None = None
    seed: Annotated[StrictInt, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        bounds = {"min": self.min, "max": self.max, "steps": self.steps}
        if self.lengths is not None:
            if self.distribution is not None or self.model_fields_set != {"lengths"}:
                raise ValueError("lengths are all that is said where they are listed; leave out the rest")
            return self
        if self.distribution is None:
            raise ValueError("it has either lengths, or a distribution with min, max and steps")
        if missing := [name for name, value in bounds.items() if value is None]:
            raise ValueError(f"a distribution of lengths needs min, max and steps; not said: {missing[0]}")
        if self._bounds[0] > self._bounds[1]:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self

    @property
    def _bounds(self) -> tuple[int, int]:
        assert self.min is not None
        assert self.max is not None
        return self.min, self.max

    @property
    def values(self) -> tuple[int, ...]:
        """The length of each step, the same on every machine."""
        if self.lengths is not None:
            return self.lengths
        assert self.distribution is not None
        assert self.steps is not None
        low, high = self._bounds
        # Of Python's generators the only numbers that are promised to stay the same over versions.
        draw, quantile = random.Random(self.seed).random, _QUANTILES[self.distribution]
        shares = (max(draw(), 1e-12) for _ in range(self.steps))
        return tuple(min(max(round(quantile(share, low, high)), low), high) for share in shares)


def lengths_of(written: Mapping[str, object]) -> tuple[int, ...]:
    """Return the lengths that a scenario writes so.

    Raises:
        ValidationError: it is not valid.
    """
    return Lengths.model_validate(written).values
