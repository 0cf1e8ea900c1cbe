"""A run of training steps whose batches have different lengths, one after the other in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lorafa_prof.instruments.memory.profile import StepMemory
from lorafa_prof.optim.loss_scaling import LossScaler
from lorafa_prof.step import Observer, TrainingStep
from lorafa_prof.words.numbers import size
from lorafa_prof.words.phrases import count

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class LengthsRun:
    """Steps of these lengths, in order. A batch comes to the device before its step, as a loader brings it.

    Attributes:
        training: the step without a batch.
        lengths: of each step's batch, in tokens.
        make_inputs: returns the batch of a length, on the device.
    """

    training: TrainingStep
    lengths: tuple[int, ...]
    make_inputs: Callable[[int], Inputs]

    @property
    def inputs(self) -> Inputs:
        """None: no batch is on the device before the run, nor after it."""
        return {}

    @property
    def scaler(self) -> LossScaler | None:
        """What scales the loss."""
        return self.training.scaler

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Run all steps; `observers` are told of each step's phases."""
        for length in self.lengths:
            # The batch before dies when this one is there.
            inputs = self.make_inputs(length)
            replace(self.training, inputs=inputs).run(observers)

    def longest(self) -> TrainingStep:
        """Return the step with the longest batch."""
        return replace(self.training, inputs=self.make_inputs(max(self.lengths)))


def note_of_run(steps: Sequence[StepMemory]) -> str:
    """Return what the reader of a run's row must know of its numbers."""
    worst = max(range(len(steps)), key=lambda index: steps[index].memory.peak.allocated)
    note = (
        f"a run of {count(len(steps), 'step')} of different lengths: peaks are of all, what forward "
        f"holds and FLOPs of the longest; most is allocated in step {worst + 1} (seq {steps[worst].seq})"
    )
    reserved = [step.memory.peak.reserved for step in steps if step.memory.peak.reserved is not None]
    if reserved:
        note += f"; reserved grows from {size(reserved[0])} to {size(max(reserved))}"
    return note
