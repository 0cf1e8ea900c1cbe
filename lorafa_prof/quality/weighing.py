"""Quality against what it costs: the Pareto front, and who has as much memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lorafa_prof.quality.group import Group

T = TypeVar("T")

#: So much may the peaks of two groups differ that are said to have equal memory.
WITHIN = 0.05


def front(points: Sequence[T], cost: Callable[[T], float], quality: Callable[[T], float]) -> list[T]:
    """Return those that no other one beats in cost or quality without losing in the other.

    From the least cost on; of those that are equal in both the first.
    """
    best: list[T] = []
    for point in sorted(points, key=lambda point: (cost(point), -quality(point))):
        if not best or quality(point) > quality(best[-1]):
            best.append(point)
    return best


def nearest_in_memory(group: Group, others: Sequence[Group]) -> tuple[Group, float] | None:
    """Return the group whose peak is nearest to that of `group`, and the share by which it differs.

    Of two that are as near that with the smaller peak. None where a peak is not known.
    """
    mine = group.peak_allocated_bytes
    if mine is None:
        return None
    found = [
        (abs(peak / mine - 1), peak, index)
        for index, other in enumerate(others)
        if (peak := other.peak_allocated_bytes) is not None
    ]
    if not found:
        return None
    apart, _, index = min(found)
    return others[index], apart
