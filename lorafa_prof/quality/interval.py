"""Means over seeds with Student's interval, since seeds are few; a seed alone has none."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
#: More halvings change no digit of a float.
_HALVINGS = 200


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds, and where it lies with the confidence asked for; None of a single one."""

    mean: float
    low: float | None
    high: float | None
    count: int


def interval_of(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of `values`, one for each seed and at least one, with Student's t interval."""
    # `fmean` and `stdev` are exact in their sums: the order of the seeds changes no digit.
    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return Interval(mean, None, None, count)
    half = student_t(confidence, count - 1) * statistics.stdev(values) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def student_t(confidence: float, degrees: int) -> float:
    """Return the t that Student's distribution of so many degrees stays within with this probability."""
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """The probability of -t to t; Abramowitz and Stegun, 26.7.3 and 26.7.4, finite sums."""
    angle = math.atan(t / math.sqrt(degrees))
    square = math.cos(angle) ** 2
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= square * (k - 1) / k
        total += term
    share = math.sin(angle) * total
    return (angle + share) * 2 / math.pi if odd else share
