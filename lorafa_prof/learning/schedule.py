"""The learning rate over the steps of a run."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from lorafa_prof.errors import UsageError
from lorafa_prof.scenario.training import Schedule


def share_of_rate(step: int, total: int, *, schedule: Schedule, warmup: float) -> float:
    """Return the share of the highest learning rate that a step has, above 0 and at most 1.

    In warm-up it rises by a line that ends where the rate is highest for the first time. From there it stays,
    or falls by a line or half a cosine that would be at 0 one step after the last.

    Args:
        step: counted from 0.
        total: steps of the run.
        schedule: what comes after warm-up.
        warmup: share of the steps.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / (total - rising)
    if schedule == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2 if schedule == "cosine" else 1.0


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Let the optimizer's next step have this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def set_weight_decay(optimizer: Optimizer, decay: float, *, name: str) -> None:
    """Let the optimizer decay weights so, all that train.

    Raises:
        UsageError: it decays none, and is to; the message has its `name`.
    """
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = decay
        elif decay:
            raise UsageError(f"optimizer '{name}' decays no weights; set training.weight_decay to 0")
