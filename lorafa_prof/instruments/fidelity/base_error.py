"""What a quantized base costs: the step of adapters over it, beside that over the base before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch.optim import Optimizer

from lorafa_prof.instruments.fidelity.adapters import Adapter
from lorafa_prof.instruments.fidelity.comparison import Change, Comparison, between
from lorafa_prof.instruments.fidelity.fidelity import total
from lorafa_prof.instruments.fidelity.rules import LORA, LORA_FA, inverse_gram
from lorafa_prof.step import Phase, TrainingStep


@dataclass(frozen=True)
class BaseError:
    """How the plain steps of adapters over a quantized base compare with those over the base before.

    Attributes:
        weights: by the paths of their layers; of each G is the step over the base before.
    """

    weights: Mapping[str, Comparison]

    @property
    def total(self) -> Comparison:
        """Over all weights together."""
        return total(self.weights.values())

    def as_record(self) -> dict[str, Any]:
        """Return what a cell's record holds: the total, then each weight with its share of ‖G‖²."""
        whole = self.total
        unknown = whole.distance is None
        return {
            "total": {"distance": whole.distance, "cosine": whole.cosine},
            "weights": [
                {
                    "module": path,
                    "step_share": None if unknown else weight.gradient_squared / whole.gradient_squared,
                    "distance": weight.distance,
                    "cosine": weight.cosine,
                }
                for path, weight in self.weights.items()
            ],
        }


def base_error(over_quantized: Mapping[str, Change], over_base: Mapping[str, Change]) -> BaseError:
    """Return how steps, by the paths of their layers, compare with the same ones over the base before."""
    return BaseError(
        {
            path: between(step, over_quantized[path])
            for path, step in over_base.items()
            if path in over_quantized
        }
    )


def plain_changes(step: TrainingStep, adapters: Sequence[Adapter], rule: str) -> dict[str, Change]:
    """Run `step` without updating anything, and return D of each adapter's plain step, by its layer's path.

    D is by `rule` of rules.py, from the gradients of A and B that all micro-batches left, in float64. Of an
    adapter that got none there is none.
    """
    changes: dict[str, Change] = {}

    class AtTheirEnd:
        def phase_started(self, phase: Phase) -> None:
            if phase == "optimizer":
                scale = 1.0 if step.scaler is None else step.scaler.get_scale()
                changes.update(
                    (adapter.path, _plain_change(adapter, rule, scale))
                    for adapter in adapters
                    if adapter.b.grad is not None
                )

        def phase_ended(self, phase: Phase) -> None:
            pass

    replace(step, optimizer=cast(Optimizer, _Idle(step.optimizer))).run((AtTheirEnd(),))
    return changes


@torch.no_grad()
def _plain_change(adapter: Adapter, rule: str, loss_scale: float) -> Change:
    a, b = adapter.a.detach().double(), adapter.b.detach().double()
    assert adapter.b.grad is not None
    g_b = adapter.b.grad.double() / loss_scale
    if rule == LORA_FA:
        return Change(g_b @ inverse_gram(a) / adapter.scale, a)
    change = Change(adapter.scale * g_b, a)
    if rule == LORA and adapter.a.grad is not None:
        g_a = adapter.a.grad.double() / loss_scale
        return Change(torch.cat([change.left, adapter.scale * b], dim=1), torch.cat([a, g_a]))
    return change


class _Idle:
    """An optimizer that updates nothing, and lets go of gradients as it should."""

    #: Whether gradients may come scaled, and the factor as an attribute: that would not reach the optimizer.
    _step_supports_amp_scaling = False

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    def step(self) -> None:
        """Leave all weights where they are."""
