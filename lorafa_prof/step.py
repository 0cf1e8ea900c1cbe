"""One training step in named phases, and the places where instruments may look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.optim.clipping import clip_gradients

Phase = Literal["forward", "backward", "optimizer"]
PHASES: tuple[Phase, ...] = ("forward", "backward", "optimizer")


class Observer(Protocol):
    """Told when a phase starts and ends. It looks, and changes nothing.

    Where gradients accumulate, forward and backward come once for each micro-batch, then optimizer once.
    """

    def phase_started(self, phase: Phase) -> None:
        """Called right before the phase's first operation."""

    def phase_ended(self, phase: Phase) -> None:
        """Called right after the phase's last operation; after forward, the loss is still held."""


@dataclass(frozen=True)
class TrainingStep:
    """A step that can be repeated: loss of one batch, its gradients, an update.

    The model's output is dropped when forward ends, but for the loss (transformers' Trainer does the same).
    Gradients are freed at the end of the optimizer phase, so that a step starts without any.

    Attributes:
        accumulation: micro-batches of a step: forward and backward run so often, on the same inputs, before
            the optimizer phase. Each loss is divided by it at the start of backward, so that what forward
            holds does not depend on it.
        max_grad_norm: to which gradients are clipped at the start of the optimizer phase; None: they are not.
    """

    model: nn.Module
    inputs: Mapping[str, Tensor]
    optimizer: Optimizer
    accumulation: int = 1
    max_grad_norm: float | None = None

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Run the step once, telling `observers` of its phases."""
        for _ in range(self.accumulation):
            # Lets go of the loss before: it would die within this forward, and its bytes hide the new one's.
            loss: Tensor | None = None
            _tell_start(observers, "forward")
            loss = cast(Tensor, cast(Any, self.model(**self.inputs)).loss)
            _tell_end(observers, "forward")
            _tell_start(observers, "backward")
            if self.accumulation > 1:
                loss = loss / self.accumulation
            loss.backward()
            _tell_end(observers, "backward")
        _tell_start(observers, "optimizer")
        if self.max_grad_norm is not None:
            clip_gradients(self.model.parameters(), self.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        _tell_end(observers, "optimizer")


def _tell_start(observers: Sequence[Observer], phase: Phase) -> None:
    for observer in observers:
        observer.phase_started(phase)


def _tell_end(observers: Sequence[Observer], phase: Phase) -> None:
    for observer in observers:
        observer.phase_ended(phase)


@dataclass
class PhaseTracker:
    """Remembers where a run is, for telling where it failed and where an operation came.

    Attributes:
        phase: "build" before the first step, then the step's last.
        step: 0 while building, then counted from 1.
    """

    phase: str = "build"
    step: int = 0

    def phase_started(self, phase: Phase) -> None:
        """Note the phase; a forward after anything but a micro-batch's backward begins a step."""
        if self.phase in ("build", "optimizer"):
            self.step += 1
        self.phase = phase

    def phase_ended(self, phase: Phase) -> None:
        """Nothing to note: a failure between two phases belongs to the one before."""
