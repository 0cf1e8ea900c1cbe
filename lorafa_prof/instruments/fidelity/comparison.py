"""A change of a weight as a product of two factors, and how far it is from the weight's full gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

#: So many bytes of a weight's rows are in float64 at once.
_AT_ONCE_BYTES = 64 << 20


@dataclass(frozen=True)
class Change:
    """D = left @ right [out, in], which is formed a few rows at a time; left [out, k], right [k, in]."""

    left: Tensor
    right: Tensor

    def rows(self, start: int, end: int) -> Tensor:
        """Return these rows of D."""
        return self.left[start:end] @ self.right


@dataclass(frozen=True)
class Whole:
    """D itself [out, in], of any type."""

    change: Tensor

    def rows(self, start: int, end: int) -> Tensor:
        """Return these rows of D, in float64."""
        return self.change[start:end].double()


@dataclass(frozen=True)
class Comparison:
    """Sums over a weight, or over several: ‖G‖², ‖D‖², ⟨D, G⟩ and ‖D − G‖².

    G is the gradient, and −η D the change of the weight for a learning rate η. What cannot be told is None:
    everything if G is zero or not finite, the cosine if D is zero.
    """

    gradient_squared: float = 0.0
    change_squared: float = 0.0
    product: float = 0.0
    difference_squared: float = 0.0

    def __add__(self, other: Comparison) -> Comparison:
        """Return the sums over both."""
        return Comparison(
            self.gradient_squared + other.gradient_squared,
            self.change_squared + other.change_squared,
            self.product + other.product,
            self.difference_squared + other.difference_squared,
        )

    @property
    def distance(self) -> float | None:
        """‖D − G‖ / ‖G‖: the relative distance at one learning rate for adapters and weights."""
        if not self._is_known:
            return None
        return math.sqrt(self.difference_squared / self.gradient_squared)

    @property
    def cosine(self) -> float | None:
        """⟨D, G⟩ / (‖D‖ ‖G‖)."""
        if not self._is_known or self.change_squared == 0:
            return None
        return self.product / math.sqrt(self.gradient_squared) / math.sqrt(self.change_squared)

    @property
    def scaled_distance(self) -> float | None:
        """min over c of ‖c D − G‖ / ‖G‖ = √(1 − cosine²), with one c ≥ 0 for all weights together.

        It is 1 where the cosine is not positive: no learning rate brings D closer to G than none.
        """
        if self.cosine is None:
            return None
        return math.sqrt(max(0.0, 1 - max(0.0, self.cosine) ** 2))

    @property
    def _is_known(self) -> bool:
        sums = (self.gradient_squared, self.change_squared, self.product, self.difference_squared)
        return self.gradient_squared > 0 and all(map(math.isfinite, sums))


def rows_at_once(matrix: Tensor) -> int:
    """Return how many rows of the matrix are taken to float64 at once, at least one."""
    return max(1, _AT_ONCE_BYTES // (torch.float64.itemsize * matrix.shape[1]))


def compare(gradient: Tensor, changes: Mapping[str, Change | Whole]) -> dict[str, Comparison]:
    """Return how each of `changes` compares with `gradient` [out, in], by their names, in float64."""
    step = rows_at_once(gradient)
    sums = torch.zeros(len(changes), 4, dtype=torch.float64, device=gradient.device)
    for start in range(0, gradient.shape[0], step):
        g = gradient[start : start + step].double()
        for index, change in enumerate(changes.values()):
            d = change.rows(start, start + step)
            parts = (g.square().sum(), d.square().sum(), (d * g).sum(), (d - g).square().sum())
            sums[index] += torch.stack(parts)
    return {name: Comparison(*row) for name, row in zip(changes, sums.tolist(), strict=True)}


def between(reference: Change, change: Change) -> Comparison:
    """Return how a change compares with another in the place of a gradient, both of factors in float64."""
    reference_squared, change_squared = _product(reference, reference), _product(change, change)
    product = _product(reference, change)
    difference_squared = max(0.0, reference_squared - 2 * product + change_squared)
    return Comparison(reference_squared, change_squared, product, difference_squared)


def _product(one: Change, other: Change) -> float:
    """⟨D, D'⟩ of two changes, by products of their factors alone."""
    return float(((one.left.t() @ other.left) * (one.right @ other.right.t())).sum())
