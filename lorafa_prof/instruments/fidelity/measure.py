"""Measuring the fidelity of a training step: of adapters by two steps, of whole weights by one.

What it runs moves the weights that train by a step; nothing that a cell measures should come after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.instruments.fidelity.adapters import Adapter
from lorafa_prof.instruments.fidelity.comparison import Comparison, Whole, compare
from lorafa_prof.instruments.fidelity.fidelity import FULL, Fidelity, WeightFidelity
from lorafa_prof.instruments.fidelity.full_gradients import FullGradients
from lorafa_prof.instruments.fidelity.rules import (
    LORA,
    LORA_FA,
    OPTIMIZER,
    UNCORRECTED,
    optimizer_step,
    plain_steps,
    projections,
)
from lorafa_prof.layers.low_rank_linear import in_by_out, is_linear
from lorafa_prof.step import TrainingStep


def fidelity_of_adapters(
    model: nn.Module, step: TrainingStep, adapters: Sequence[Adapter], *, is_corrected: bool = True
) -> Fidelity:
    """Return the fidelity of the adapters in the model's next step.

    The step runs, it is noted where it brought the adapters, and it runs again from where it began, when each
    full gradient is there for a moment.

    Args:
        model: as its method prepared it.
        step: trains it; its optimizer has its state.
        adapters: of the model, at least one.
        is_corrected: whether gradients of B are corrected where A is frozen.
    """
    trained = [param for param in model.parameters() if param.requires_grad]
    rule = rule_of(adapters, step.optimizer, is_corrected=is_corrected)
    before = [param.detach().clone() for param in trained]
    with same_random_numbers_after(trained[0].device):
        step.run()
    after = {adapter.path: (adapter.a.detach().clone(), adapter.b.detach().clone()) for adapter in adapters}
    with torch.no_grad():
        for param, value in zip(trained, before, strict=True):
            param.copy_(value)
    del before
    known = {adapter.path: adapter for adapter in adapters}
    found: dict[str, WeightFidelity] = {}

    @torch.no_grad()
    def take(path: str, gradient: Tensor) -> None:
        found[path] = _of_adapter(known[path], gradient, after[path])

    with FullGradients([(adapter.path, adapter.layer) for adapter in adapters], take) as watch:
        step.run((watch,))
    return Fidelity(rule, tuple(found[path] for path in known if path in found))


def _of_adapter(adapter: Adapter, gradient: Tensor, after: tuple[Tensor, Tensor]) -> WeightFidelity:
    a, b = _finite(adapter.a.detach()), _finite(adapter.b.detach())
    steps = plain_steps(gradient, a, b, adapter.scale)
    steps[OPTIMIZER] = optimizer_step((a, b), (_finite(after[0]), _finite(after[1])), adapter.scale)
    spaces = projections(gradient, a, b)
    compared = compare(gradient, {**steps, **spaces})
    return WeightFidelity(
        adapter.path,
        (gradient.shape[0], gradient.shape[1]),
        a.shape[0],
        {name: compared[name] for name in steps},
        {name: compared[name] for name in spaces},
    )


def _finite(factor: Tensor) -> Tensor:
    """Return the factor in float64, zero where it is not finite, since such matrices have no decompositions.

    The gradient is not finite either then, and of it nothing is told.
    """
    return factor.double().nan_to_num(0.0, 0.0, 0.0)


def rule_of(adapters: Iterable[Adapter], optimizer: Optimizer, *, is_corrected: bool) -> str:
    """Return the rule that the adapters train by.

    It is LoRA's if their A is updated; else LoRA-FA's, if gradients of B are corrected.
    """
    if _trains_a(adapters, optimizer):
        return LORA
    return LORA_FA if is_corrected else UNCORRECTED


def _trains_a(adapters: Iterable[Adapter], optimizer: Optimizer) -> bool:
    """Whether A is updated."""
    updated = {id(param) for group in optimizer.param_groups for param in group["params"]}
    return any(adapter.a.requires_grad and id(adapter.a) in updated for adapter in adapters)


def fidelity_of_weights(model: nn.Module, step: TrainingStep) -> Fidelity:
    """Return the fidelity of the linear layers' weights that train whole, in the model's next step."""
    layers = {path: module for path, module in model.named_modules() if is_linear(module)}
    found: dict[str, WeightFidelity] = {}
    optimizer = _WeightByWeight(step.optimizer, layers, found)
    replace(step, optimizer=cast(Optimizer, optimizer)).run()
    return Fidelity(FULL, tuple(found.values()))


class _WeightByWeight:
    """An optimizer that steps one weight after the other, and compares each change with its gradient.

    To the weights that is one step, since optimizers pass over what has no gradient. So there is a copy of
    one weight at a time.
    """

    #: Whether gradients may come scaled, and the factor as an attribute: that would not reach the optimizer.
    _step_supports_amp_scaling = False

    def __init__(
        self, optimizer: Optimizer, layers: Mapping[str, nn.Module], found: dict[str, WeightFidelity]
    ) -> None:
        self._optimizer = optimizer
        self._layers = layers
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)

    @torch.no_grad()
    def step(self) -> None:
        """Update the weights that are compared, then all others."""
        params = [param for group in self._optimizer.param_groups for param in group["params"]]
        gradients = {param: param.grad for param in params if param.grad is not None}
        for param in gradients:
            param.grad = None
        for path, layer in self._layers.items():
            if (gradient := gradients.pop(cast(nn.Parameter, layer.weight), None)) is not None:
                self._found[path] = self._step_one(path, layer, gradient)
        for param, gradient in gradients.items():
            param.grad = gradient
        self._optimizer.step()

    def _step_one(self, path: str, layer: nn.Module, gradient: Tensor) -> WeightFidelity:
        weight = cast(nn.Parameter, layer.weight)
        before = weight.detach().clone()
        weight.grad = gradient
        self._optimizer.step()
        weight.grad = None
        change = before.to(torch.promote_types(before.dtype, torch.float32)).sub_(weight)
        compared = compare(gradient, {OPTIMIZER: Whole(change)})
        squared = compared[OPTIMIZER].gradient_squared
        own = Comparison(squared, squared, squared, 0.0)
        inputs, outputs = in_by_out(layer)
        return WeightFidelity(path, (outputs, inputs), None, {FULL: own, **compared}, {})


@contextmanager
def same_random_numbers_after(device: torch.device) -> Iterator[None]:
    """A context after which random numbers are those that it began with, so that dropout drops the same."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
