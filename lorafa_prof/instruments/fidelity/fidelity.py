"""The fidelity of a model's steps, weight by weight and in total."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lorafa_prof.instruments.fidelity.comparison import Comparison
from lorafa_prof.instruments.fidelity.rules import LORA, OPTIMIZER, ROWS, ROWS_AND_COLUMNS

#: Every weight trains itself: a plain step is the gradient.
FULL = "full"


@dataclass(frozen=True)
class WeightFidelity:
    """How the steps that were looked at compare with a weight's full gradient.

    Attributes:
        path: of the layer.
        shape: outputs and inputs of the layer.
        rank: of its adapter; None without one.
        steps: by their rules, of plain gradient steps, and of the cell's optimizer as `optimizer`.
        projections: of the gradient onto the spaces of `rules.projections`, by their names.
    """

    path: str
    shape: tuple[int, int]
    rank: int | None
    steps: Mapping[str, Comparison]
    projections: Mapping[str, Comparison]


@dataclass(frozen=True)
class Fidelity:
    """Of all weights that were looked at.

    Attributes:
        rule: of the cell's own method: one of `rules`, or `FULL`.
        weights: in the order of the model, at least one.
    """

    rule: str
    weights: tuple[WeightFidelity, ...]

    @property
    def plain(self) -> Comparison:
        """A plain gradient step by the cell's own rule, over all weights together."""
        return total(weight.steps[self.rule] for weight in self.weights)

    @property
    def floor(self) -> float | None:
        """The relative distance below which no small change of the cell's adapters gets."""
        if self.rule == FULL:
            return 0.0
        return total(weight.projections[floor_space(self.rule)] for weight in self.weights).distance

    def as_record(self) -> dict[str, Any]:
        """Return what a cell's record holds: the totals, then each weight with its share of ‖G‖²."""
        whole = sum(_gradient_squared(weight) for weight in self.weights)
        is_known = whole > 0 and math.isfinite(whole)
        first = self.weights[0]
        return {
            "rule": self.rule,
            "total": _record(
                {name: total(w.steps[name] for w in self.weights) for name in first.steps},
                {name: total(w.projections[name] for w in self.weights) for name in first.projections},
            ),
            "weights": [
                {
                    "module": weight.path,
                    "shape": list(weight.shape),
                    "rank": weight.rank,
                    "gradient_share": _gradient_squared(weight) / whole if is_known else None,
                    **_record(weight.steps, weight.projections),
                }
                for weight in self.weights
            ],
        }


def floor_space(rule: str) -> str:
    """Return the space, as of `rules.projections`, that changes of adapters by this rule are in."""
    return ROWS_AND_COLUMNS if rule == LORA else ROWS


def total(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the sums over all of them."""
    return functools.reduce(operator.add, comparisons, Comparison())


def _gradient_squared(weight: WeightFidelity) -> float:
    return weight.steps[OPTIMIZER].gradient_squared


def _record(steps: Mapping[str, Comparison], projections: Mapping[str, Comparison]) -> dict[str, Any]:
    return {
        "steps": {
            name: {
                "distance": None if name == OPTIMIZER else step.distance,
                "cosine": step.cosine,
                "scaled_distance": step.scaled_distance,
            }
            for name, step in steps.items()
        },
        "floor": {name: projection.distance for name, projection in projections.items()},
    }
