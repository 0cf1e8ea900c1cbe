"""PyTorch's flex attention, as its compiled functions run it."""

from __future__ import annotations

from typing import Any

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel, numel_bytes
from lorafa_prof.layers.flex_attention import backward, forward

SOURCE = "torch 2.13: torch/_inductor/kernel/flex/flex_attention.py; no GPU trace"


def _forward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    out, logsumexp, lse = func(*args, **kwargs)
    step.born(logsumexp)
    largest = step.take(numel_bytes(logsumexp))
    step.born(out)
    step.give_back(largest)
    step.born(lse)
    return out, logsumexp, lse


def _backward(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    dq, dk, dv = func(*args, **kwargs)
    logsumexp = args[6]
    held = [step.take(numel_bytes(logsumexp)) for _ in range(2)]
    step.born(dq, dv, dk)
    step.give_back(*held)
    return dq, dk, dv


KERNELS = (
    Kernel(
        name="flex attention",
        ops=(forward.default,),
        model=_forward,
        formula="the largest score of each row, 4·b·h·s bytes",
        source=SOURCE,
        holds_for="torch 2.13",
    ),
    Kernel(
        name="flex attention backward",
        ops=(backward.default,),
        model=_backward,
        formula="the sum over each row, and its part in the gradient of the sums: 4·b·h·s bytes twice",
        source=SOURCE,
        holds_for="torch 2.13",
    ),
)
