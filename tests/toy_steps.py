"""Steps of the toy, whose every allocation is known, in the ways in which people write a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import grad as held_grad
from toy_step import Toy, toy_step

ToyStep = Callable[[Toy, torch.Tensor, Any], Any]


def returns_the_loss(model: Toy, x: torch.Tensor, optimizer: Any) -> Any:
    return model(x).loss


def runs_it_all(model: Toy, x: torch.Tensor, optimizer: Any) -> Any:
    loss = model(x).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def begins_with_zero_grad(model: Toy, x: torch.Tensor, optimizer: Any) -> Any:
    optimizer.zero_grad()
    loss = model(x).loss
    torch.autograd.backward([loss])
    optimizer.step()


def zero_grad_before_backward(model: Toy, x: torch.Tensor, optimizer: Any) -> Any:
    loss = model(x).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def asks_for_gradients(model: Toy, x: torch.Tensor, optimizer: Any) -> Any:
    (gradient,) = torch.autograd.grad(model(x).loss, [model.weight])
    return gradient.detach().requires_grad_()


def asks_a_function_held_before(model: Toy, x: torch.Tensor, optimizer: Any) -> Any:
    held_grad(model(x).loss, [model.weight])


#: What each keeps at the end of forward and at its peak, as (vectors, scalars).
TOY_STEPS: dict[ToyStep, tuple[tuple[int, int], tuple[int, int]]] = {
    # Kept: exp's result and the loss. Peak: exp's result and the product's gradient, then that and the
    # weight's; the loss and its gradient.
    returns_the_loss: ((1, 1), (2, 2)),
    runs_it_all: ((1, 1), (2, 2)),
    begins_with_zero_grad: ((1, 1), (2, 2)),
    # The gradient of the step before, the product, exp's result, the loss.
    zero_grad_before_backward: ((1, 1), (3, 1)),
    asks_for_gradients: ((1, 1), (2, 2)),
    # Seen only when the engine starts: the loss's gradient is there already.
    asks_a_function_held_before: ((1, 2), (2, 2)),
}


def bound(step: ToyStep, device: str) -> tuple[Callable[[], Any], Toy]:
    """`step` as a function without arguments, and its model."""
    toy = toy_step(device)
    model: Any = toy.model
    return lambda: step(model, toy.inputs["x"], toy.optimizer), model
