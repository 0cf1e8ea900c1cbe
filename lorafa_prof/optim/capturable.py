"""Optimizers whose step can be captured in a CUDA graph: what changes from step to step is on the device."""

from __future__ import annotations

from torch.optim import SGD, Optimizer

from lorafa_prof.errors import UsageError

_FLAG = "capturable"


def make_capturable(optimizer: Optimizer) -> None:
    """Let `optimizer`, which has made no step yet, keep its numbers of steps on the device.

    Raises:
        UsageError: it has no such mode: a graph would repeat one step's bias correction, or rate, for good.
    """
    # SGD's step is the same every time.
    if not isinstance(optimizer, SGD) and any(_FLAG not in group for group in optimizer.param_groups):
        raise UsageError(
            f"launch 'graph': {type(optimizer).__name__} has no capturable mode, so a graph would freeze the "
            "numbers that it computes on the host in each step; adamw, adamw-foreach, adamw-loop, sgd and "
            "sgd-momentum can be captured, or set launch to eager",
            about="launch",
        )
    for group in optimizer.param_groups:
        if _FLAG in group:
            group[_FLAG] = True
