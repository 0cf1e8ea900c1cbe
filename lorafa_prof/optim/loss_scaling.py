"""Scaling the loss for fp16, whose gradients would otherwise be too small for the type."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError


class LossScaler(torch.amp.GradScaler):
    """PyTorch's `GradScaler` at its defaults, which Trainer uses, with its tensors made at once.

    Attributes:
        tensors: the scale, and the number of steps since it changed; they stay on the device.
        updates: how many updates of weights were asked for.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device.type)
        self._lazy_init_scale_growth_tracker(device)
        scale, steps = self._scale, self._growth_tracker
        assert scale is not None
        assert steps is not None
        self.tensors: tuple[Tensor, ...] = (scale, steps)
        self.updates = 0

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Halve the scale if the update was skipped; double it after 2,000 that were not."""
        super().update(new_scale)
        self.updates += 1

    def skipped(self) -> int:
        """Return how many updates were skipped, as the scale tells it; it waits for the device.

        Of more than 2,000 updates it may be more, since the scale grows again.
        """
        return max(0, round(math.log(self.get_scale() / self._init_scale, self.get_backoff_factor())))


def check_scalable(params: Iterable[nn.Parameter]) -> None:
    """Check that gradients of those of `params` that train can be scaled.

    Raises:
        UsageError: one has less than 32 bits: PyTorch refuses to unscale its gradient.
    """
    if any(param.requires_grad and param.dtype.itemsize < torch.float32.itemsize for param in params):
        raise UsageError(
            "autocast 'fp16' scales gradients, for which the weights that train must be in fp32: "
            "set adapter_dtype: fp32 (of full-ft and of a classifier's head dtype: fp32), or autocast: bf16",
            about="autocast",
        )
