"""Cross-entropy of a row of logits, and its gradient written over them."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Logits that a program reads at once.
BLOCK = 8192


@triton.jit
def _cross_entropy(
    logits, targets, scale, loss, stride, columns, ignored, GRADIENT: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    first = logits + row * stride
    target = tl.load(targets + row)
    factor = tl.load(scale + row)
    if target == ignored:
        tl.store(loss + row, 0.0)
        if GRADIENT:
            for start in range(0, columns, BLOCK):
                tl.store(first + start + at, tl.zeros((BLOCK,), tl.float32), mask=start + at < columns)
        return
    of_target = tl.load(first + target).to(tl.float32)
    largest = -float("inf")
    total = 0.0
    for start in range(0, columns, BLOCK):
        value = tl.load(first + start + at, mask=start + at < columns, other=-float("inf")).to(tl.float32)
        larger = tl.maximum(largest, tl.max(value))
        total = total * tl.exp(largest - larger) + tl.sum(tl.exp(value - larger))
        largest = larger
    tl.store(loss + row, largest + tl.log(total) - of_target)
    if GRADIENT:
        for start in range(0, columns, BLOCK):
            mask = start + at < columns
            value = tl.load(first + start + at, mask=mask, other=-float("inf")).to(tl.float32)
            probability = tl.exp(value - largest) / total
            gradient = (probability - tl.where(start + at == target, 1.0, 0.0)) * factor
            tl.store(first + start + at, gradient, mask=mask)


def cross_entropy_(
    logits: Tensor, targets: Tensor, scale: Tensor, loss: Tensor, ignored: int, gradient: bool
) -> None:
    """Launch `cross_entropy_` of packed/loss.py."""
    block = min(BLOCK, triton.next_power_of_2(logits.shape[1]))
    _cross_entropy[(len(logits),)](
        logits, targets, scale, loss, logits.stride(0), logits.shape[1], ignored,
        GRADIENT=gradient, BLOCK=block, num_warps=16 if block >= 4096 else 4,
    )  # fmt: skip
