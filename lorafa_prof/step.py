"""A step in named phases, and the places where instruments may look; above all the training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.optim.clipping import clip_gradients
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.parallel.gradient_sync import unreduced_gradients

Phase = Literal["forward", "backward", "optimizer", "collect"]
"""The phases of a training step, and of an evaluation: its forward, and what is kept of each batch."""
PHASES: tuple[Phase, ...] = ("forward", "backward", "optimizer")
"""The phases of a training step."""
EVALUATION_PHASES: tuple[Phase, ...] = ("forward", "collect")
"""The phases of an evaluation."""


class Observer(Protocol):
    """What `TrainingStep.run` calls when a phase starts and ends. It looks at the step and changes nothing.

    Where gradients accumulate, forward and backward come once for each micro-batch, then optimizer once. In
    an evaluation, forward and collect come once for each batch.
    """

    def phase_started(self, phase: Phase) -> None:
        """Called right before the phase's first operation."""

    def phase_ended(self, phase: Phase) -> None:
        """Called right after the phase's last operation; after forward, the loss is still held."""


Around = Callable[[Phase], AbstractContextManager[None]]
"""Returns the context in which a phase's operations run, between the notices of its start and its end."""


def _plainly(phase: Phase) -> AbstractContextManager[None]:
    del phase
    return nullcontext()


class Step(Protocol):
    """What a cell repeats and instruments observe: a training step, or an evaluation."""

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """Keyword arguments of the model's forward."""

    @property
    def scaler(self) -> LossScaler | None:
        """What scales the loss as the model trains; None: nothing does."""

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Run the step once, and call each of `observers` when a phase starts and ends."""


@dataclass(frozen=True)
class TrainingStep:
    """A training step that can be repeated: the loss of one batch, its gradients, an update of the weights.

    The model's output is dropped when forward ends, but for the loss (transformers' Trainer does the same).
    Gradients are freed at the end of the optimizer phase, so that a step starts without any.

    Attributes:
        model: what trains; its output has a ``loss``.
        inputs: keyword arguments of the model's forward.
        optimizer: updates the model's parameters.
        accumulation: number of micro-batches in a step: forward and backward run this often, on the same
            inputs or on `micro_batches`, before the optimizer phase. Each loss is divided by it at the start
            of backward, so that what forward holds does not depend on it. Ranks reduce their gradients in the
            last one.
        max_grad_norm: gradients are clipped to this norm at the start of the optimizer phase; None: they are
            not clipped.
        scaler: scales the loss at the start of backward, and unscales the gradients before they are clipped,
            else as the optimizer updates; an update with a gradient that is not finite is skipped. None:
            nothing is scaled.
        micro_batches: the inputs of each micro-batch, where they differ; empty: all have `inputs`.
        take_loss: is given the loss of each micro-batch, a scalar on the device, between its forward and its
            backward; None: nobody wants to know.
    """

    model: nn.Module
    inputs: Mapping[str, Tensor]
    optimizer: Optimizer
    accumulation: int = 1
    max_grad_norm: float | None = None
    scaler: LossScaler | None = None
    micro_batches: Sequence[Mapping[str, Tensor]] = ()
    take_loss: Callable[[Tensor], None] | None = None

    def run(self, observers: Sequence[Observer] = (), around: Around = _plainly) -> None:
        """Run the step once, and call each of `observers` when a phase starts and ends.

        Args:
            observers: look at the step.
            around: makes the context that each phase's operations run in.
        """
        batches = self.micro_batches or [self.inputs] * self.accumulation
        for left, inputs in zip(reversed(range(self.accumulation)), batches, strict=True):
            with unreduced_gradients(self.model) if left else nullcontext():
                # Lets go of the loss before: it would die within this forward, and hide the new one's bytes.
                loss: Tensor | None = None
                notify_start(observers, "forward")
                with around("forward"):
                    loss = cast(Tensor, cast(Any, self.model(**inputs)).loss)
                notify_end(observers, "forward")
                if self.take_loss is not None:
                    self.take_loss(loss.detach())
                notify_start(observers, "backward")
                with around("backward"):
                    if self.accumulation > 1:
                        loss = loss / self.accumulation
                    if self.scaler is not None:
                        loss = self.scaler.scale(loss)
                    loss.backward()
                notify_end(observers, "backward")
        notify_start(observers, "optimizer")
        with around("optimizer"):
            self._update()
            self.optimizer.zero_grad(set_to_none=True)
        notify_end(observers, "optimizer")

    def _update(self) -> None:
        if self.max_grad_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.optimizer)
            clip_gradients(self.model.parameters(), self.max_grad_norm)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()


def notify_start(observers: Sequence[Observer], phase: Phase) -> None:
    """Tell each of `observers` that the phase starts."""
    for observer in observers:
        observer.phase_started(phase)


def notify_end(observers: Sequence[Observer], phase: Phase) -> None:
    """Tell each of `observers` that the phase has ended."""
    for observer in observers:
        observer.phase_ended(phase)


@dataclass
class PhaseTracker:
    """An observer that remembers the current step and phase, to say where an error or an operation came.

    Attributes:
        phase: "build" before the first step, then the phase that started last.
        step: 0 while building, then counted from 1.
    """

    phase: str = "build"
    step: int = 0

    def phase_started(self, phase: Phase) -> None:
        """Remember the phase; a forward begins a new step, unless it follows another batch's of the same one.

        Evaluations one after the other count as one.
        """
        if self.phase in ("build", "optimizer"):
            self.step += 1
        self.phase = phase

    def phase_ended(self, phase: Phase) -> None:
        """Change nothing: what happens before the next phase still belongs to this one."""
