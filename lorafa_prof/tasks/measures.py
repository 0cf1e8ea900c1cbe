"""How right answers are counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

#: Of the right classes and the predicted ones.
Measure = Callable[[Sequence[int], Sequence[int]], float]


def accuracy(right: Sequence[int], predicted: Sequence[int]) -> float:
    """Return the share of items that are predicted right."""
    return sum(a == b for a, b in zip(right, predicted, strict=True)) / len(right)


def matthews(right: Sequence[int], predicted: Sequence[int]) -> float:
    """Return Matthews' correlation of two classes, from −1 to 1; 0 where one is never there or predicted."""
    pairs = list(zip(right, predicted, strict=True))
    counts = {pair: pairs.count(pair) for pair in ((0, 0), (0, 1), (1, 0), (1, 1))}
    scale = math.prod(
        counts[a] + counts[b]
        for a, b in (((1, 1), (0, 1)), ((1, 1), (1, 0)), ((0, 0), (0, 1)), ((0, 0), (1, 0)))
    )
    product = counts[1, 1] * counts[0, 0] - counts[0, 1] * counts[1, 0]
    return product / math.sqrt(scale) if scale else 0.0


#: By the name that `Task.metric` has.
MEASURES: dict[str, Measure] = {"accuracy": accuracy, "matthews": matthews}
