"""One training step in named phases, and the places where instruments may look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from torch import Tensor, nn
from torch.optim import Optimizer

Phase = Literal["forward", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "optimizer")


class Observer(Protocol):
    """Told when a phase starts and ends. It looks, and changes nothing."""

    def phase_started(self, phase: Phase) -> None:
        """Called right before the phase's first operation."""

    def phase_ended(self, phase: Phase) -> None:
        """Called right after the phase's last operation; after forward, the loss is still held."""


@dataclass(frozen=True)
class TrainingStep:
    """A step that can be repeated: loss of one batch, its gradients, an update.

    The model's output is dropped when forward ends, but for the loss (transformers' Trainer does the same).
    Gradients are freed at the end of the optimizer phase, so that a step starts without any.
    """

    model: nn.Module
    inputs: Mapping[str, Tensor]
    optimizer: Optimizer

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Run the step once, telling `observers` of its phases."""
        for observer in observers:
            observer.phase_started("forward")
        loss = cast(Any, self.model(**self.inputs)).loss
        for observer in observers:
            observer.phase_ended("forward")
        for observer in observers:
            observer.phase_started("backward")
        loss.backward()
        for observer in observers:
            observer.phase_ended("backward")
        for observer in observers:
            observer.phase_started("optimizer")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for observer in observers:
            observer.phase_ended("optimizer")


@dataclass
class PhaseTracker:
    """Remembers the phase a step is in, for telling where it failed."""

    phase: str = "build"

    def phase_started(self, phase: Phase) -> None:
        """Note the phase."""
        self.phase = phase

    def phase_ended(self, phase: Phase) -> None:
        """Nothing to note: a failure between two phases belongs to the one before."""
