"""Losses of steps, kept on the device and read seldom, so that no step waits for its loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lorafa_prof.errors import LorafaProfError

#: After so many steps losses are read at the latest, and it is noticed that one is not finite.
MOST_UNREAD = 50


class DivergedError(LorafaProfError):
    """The loss of a step is no finite number.

    Attributes:
        step: which, counted from 1.
    """

    def __init__(self, step: int, loss: float) -> None:
        what = "not a number" if math.isnan(loss) else "infinite"
        super().__init__(f"the loss of step {step} is {what}; a lower learning rate or more warm-up may help")
        self.step = step


class UnreadLosses:
    """The losses of steps that nobody has looked at yet; each step's is the mean over its micro-batches.

    Args:
        micro_batches: in a step.
        device: what the losses are computed on.
    """

    def __init__(self, micro_batches: int, device: torch.device) -> None:
        self._share = 1 / micro_batches
        self._sums = torch.zeros(MOST_UNREAD, dtype=torch.float32, device=device)
        self._places = self._sums.unbind()
        self._steps = 0

    def take(self, loss: Tensor) -> None:
        """Add the loss of a micro-batch of the step that runs; a scalar on the device."""
        self._places[self._steps].add_(loss, alpha=self._share)

    def end_step(self) -> None:
        """Let the losses from now on be those of the next step."""
        self._steps += 1

    @property
    def steps(self) -> int:
        """Steps whose losses are unread."""
        return self._steps

    def read(self) -> list[float]:
        """Wait for the device, and return the losses of the steps since the last reading."""
        losses: list[float] = self._sums[: self._steps].tolist()
        self._sums.zero_()
        self._steps = 0
        return losses
