"""The largest value of a script's option with which it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.fitting.search import guess_from, largest
from lorafa_prof.words.numbers import size

#: Beyond this nothing is tried.
MOST = 1 << 20
#: So many times the largest value known to fit is tried at most: small values tell little of large ones.
_FARTHEST = 4

#: Predicts the script with a value, as `Prediction.as_json` tells it.
Trial = Callable[[int], Mapping[str, Any]]


@dataclass(frozen=True)
class Largest:
    """What a search has found.

    Attributes:
        option: of the script.
        value: the largest one that fits; None: not even 1 does.
        tried: what was predicted, by value.
        grows: whether the memory grows with the option up to where it was looked at.
    """

    option: str
    value: int | None
    tried: Mapping[int, Mapping[str, Any]]
    grows: bool = True

    @property
    def message(self) -> str:
        """One sentence."""
        if self.value is None:
            return f"not even {self.option} 1 fits: {self.tried[1]['message']}"
        found = self.tried[self.value]
        if not self.grows:
            return (
                f"{self.option} {self.value:,} fits, and memory grows no more with it: the script may have "
                f"no more rows; {found['message']}"
            )
        return f"the largest {self.option} that fits is {self.value:,}: {found['message']}"

    def rows(self) -> list[tuple[str, str, str]]:
        """Return each value that was tried, with what it reserves at most and how it ended."""
        return [
            (f"{value:,}", size(told["peak_reserved_bytes"]), str(told["status"]))
            for value, told in sorted(self.tried.items())
        ]

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {
            "status": "ok" if self.value is not None else "oom",
            "message": self.message,
            "option": self.option,
            "largest": self.value,
            "tried": [{"value": value, **told} for value, told in sorted(self.tried.items())],
        }


class _GrowsNoMoreError(Exception):
    """Twice as many take the same memory."""


def largest_that_fits(option: str, trial: Trial) -> Largest:
    """Return the largest value of `option` with which the script fits.

    Raises:
        LorafaProfError: a trial ended otherwise than by fitting or by running out of memory.
    """
    tried: dict[int, Mapping[str, Any]] = {}
    needs: dict[int, int] = {}

    def fits(value: int) -> bool:
        told = tried[value] = trial(value)
        if told["status"] == "oom":
            return False
        if told["status"] != "ok":
            raise LorafaProfError(f"{option} {value}: {told['message']}")
        needed = int(told["peak_reserved_bytes"])
        if any(2 * smaller <= value and needs[smaller] == needed for smaller in needs):
            raise _GrowsNoMoreError
        needs[value] = needed
        return True

    if not fits(1):
        return Largest(option, None, tried)
    budget = tried[1]["capacity_bytes"]
    if budget is None:
        raise LorafaProfError(
            "the GPU's memory is not known, so nothing can be said to fit; give another --gpu"
        )
    along_the_line = guess_from(needs, 0, int(budget))
    try:
        found = largest(
            fits, low=1, high=MOST, guess=lambda low, high: min(along_the_line(low, high), _FARTHEST * low)
        )
    except _GrowsNoMoreError:
        return Largest(option, max(needs), tried, grows=False)
    return Largest(option, found, tried, grows=found < MOST - 1)
