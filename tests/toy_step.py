"""A step whose every allocation is known: element-wise, so that no kernel takes memory of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD

from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.step import TrainingStep

NUMBERS = 1000
"""4000 bytes: 4096 in blocks of 512."""


class Toy(nn.Module):
    """loss = Σ exp(x · w): keeps exp's result, and lets x · w go when forward returns."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(NUMBERS))

    def forward(self, x: Tensor) -> Any:
        product = x * self.weight
        return SimpleNamespace(loss=product.exp().sum())


def toy_step(device: str) -> TrainingStep:
    model = Toy().to(device)
    return TrainingStep(model, {"x": torch.ones(NUMBERS, device=device)}, SGD(model.parameters(), lr=0.1))


LARGE = 2**22


def take_much_in_the_first_forward(step: TrainingStep) -> None:
    """Let the first forward from now on make and let go a tensor of `LARGE` bytes."""
    device = next(step.model.parameters()).device

    def take(*_: Any) -> None:
        torch.empty(LARGE, dtype=torch.uint8, device=device)
        handle.remove()

    handle = step.model.register_forward_pre_hook(take)


def check_accumulated_profile(profile: MemoryProfile, block: int) -> None:
    """Assert what is told of a step of several micro-batches, the first of which took `LARGE` bytes more."""
    vector, scalar = 4 * NUMBERS + -4 * NUMBERS % block, 4 + -4 % block
    forward, backward = profile.phases["forward"], profile.phases["backward"]
    before = forward.start.allocated  # the gradient of the micro-batches before is in it
    assert forward.end.allocated - before == vector + scalar == profile.activation_bytes
    assert backward.end.allocated - before == scalar  # added to the gradient that was there
    assert forward.peak.allocated == before - vector + LARGE
    assert forward.peak.requested >= LARGE
    assert backward.peak.allocated < before + LARGE
    assert profile.peak_allocated_bytes == forward.peak.allocated
    assert profile.gradients_bytes == 4 * NUMBERS


def check_toy_profile(profile: MemoryProfile, block: int, counter: str = "allocated") -> None:
    """Assert every number of one step of the toy, for an allocator that hands out multiples of `block`."""

    def rounded(size: int) -> int:
        return size + -size % block

    def above_start(phase: Any, moment: str) -> int:
        start = getattr(profile.phases["forward"].start, counter)
        value: int = getattr(getattr(profile.phases[phase], moment), counter) - start
        return value

    vector, scalar = rounded(4 * NUMBERS), rounded(4)
    assert above_start("forward", "end") == vector + scalar  # exp's result; the loss
    assert above_start("forward", "peak") == 2 * vector + scalar  # and the product
    assert above_start("backward", "end") == vector + scalar  # the weight's gradient; the loss
    # exp's result and the product's gradient, then that and the weight's; the loss and its gradient.
    assert above_start("backward", "peak") == 2 * vector + 2 * scalar
    assert above_start("optimizer", "peak") == vector + scalar
    assert above_start("optimizer", "end") == scalar
    assert profile.gradients_bytes == 4 * NUMBERS
    if counter == "allocated":
        assert profile.activation_bytes == vector + scalar
        assert profile.peak_allocated_bytes == profile.static_bytes + 2 * vector + 2 * scalar
