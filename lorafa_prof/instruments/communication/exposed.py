"""The part of a step in which a GPU sends or waits for others and computes nothing: exposed communication."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from lorafa_prof.instruments.nvml import Unavailable
from lorafa_prof.step import Step

Interval = tuple[float, float]
"""Start and end, in any one unit."""

_OF_NCCL = re.compile(r"nccl(Dev)?Kernel")


def exposed_ms(step: Step) -> float | Unavailable:
    """Run the step under PyTorch's profiler; return how long, in ms, only NCCL's kernels ran on this GPU.

    NCCL's kernels also run while they wait for ranks that are late, so that is in it. What the profiler costs
    on the host is in it where kernels wait for the host.
    """
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step.run()
        torch.cuda.synchronize()
    sending: list[Interval] = []
    computing: list[Interval] = []
    for event in profiler.events() or ():
        # Ranges that PyTorch names after its own calls are told as if they ran on the GPU.
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False):
            kind = sending if _OF_NCCL.match(event.name) else computing
            kind.append((event.time_range.start, event.time_range.end))
    if not sending:
        return Unavailable("the profiler saw no kernel of NCCL")
    return uncovered(sending, computing) / 1e3


def uncovered(these: Iterable[Interval], others: Iterable[Interval]) -> float:
    """Return how long any of `these` intervals runs while none of the `others` does."""
    return _length([*these, *(others := list(others))]) - _length(others)


def _length(intervals: Sequence[Interval]) -> float:
    """How long any of the intervals runs."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
