"""The largest number that fits, found with few tries: each try costs seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: From the largest number known to fit and the smallest known not to, where the border may be.
Guess = Callable[[int, int], int]


def largest(fits: Callable[[int], bool], *, low: int, high: int, guess: Guess) -> int:
    """The n from `low` to ``high - 1`` where n fits and n + 1 does not; both are tried, not concluded.

    What is guessed is tried first, then its neighbours, then ever farther ones. So a good guess costs two
    tries, and a bad one no more than about twice the logarithm of its error.

    Args:
        fits: tries a number; if n fits so does every smaller one.
        low: fits.
        high: does not fit, or is beyond what is looked at.
        guess: the largest number that may fit; it is asked before each try.
    """
    stride = 1
    outside_before = 0
    while high - low > 1:
        n = guess(low, high)
        outside = -1 if n <= low else 1 if n >= high else 0
        stride = stride * 2 if outside and outside == outside_before else 1
        outside_before = outside
        if outside:
            step = min(stride, (high - low) // 2)
            n = low + step if outside < 0 else high - step
        if fits(n):
            low = n
        else:
            high = n
    return low


def guess_from(points: Mapping[int, int], start: int, budget: int) -> Guess:
    """Where `budget` runs out by what is known so far.

    Args:
        points: number → what it needs; those that are tried meanwhile may be added.
        start: what the number 0 needs, more or less.
        budget: what there is.
    """

    def guess(low: int, high: int) -> int:
        n = _crossing(points, start, budget)
        known = [point for point in points if point > 0]
        if len(known) < 2 and n > max(known, default=0) + 1:
            # One point and a rough start tell little far off: first a second point half way, where it fits.
            return max(low + 1, (low + min(n, high)) // 2)
        return n

    return guess


def _crossing(points: Mapping[int, int], start: int, budget: int) -> int:
    """The largest n at or below the line through the two largest points (or `start`) and `budget`."""
    known = sorted({0: start, **points}.items())
    if len(known) < 2:
        return 0
    (n0, need0), (n1, need1) = known[-2:]
    if need1 <= need0:
        # A step of the allocator hides the slope: ever farther from here.
        return n1
    return n0 + (budget - need0) * (n1 - n0) // (need1 - need0)
