"""Many small matrices copied into larger ones by one launch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Numbers that a program copies.
BLOCK = 4096
_KINDS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@triton.jit
def _copy_blocks(table, KIND: tl.constexpr, BLOCK: tl.constexpr):
    row = table + tl.program_id(0) * 5
    source = tl.load(row).to(tl.pointer_type(KIND))
    place = tl.load(row + 1).to(tl.pointer_type(KIND))
    # In 32 bits: a division of 64 takes longer than the copy, and no A or B has so many numbers.
    rows, columns = tl.load(row + 2).to(tl.int32), tl.load(row + 3).to(tl.int32)
    stride = tl.load(row + 4)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = at < rows * columns
    value = tl.load(source + at, mask=mask)
    tl.store(place + at // columns * stride + at % columns, value, mask=mask)


def copy_blocks(table: Tensor, sources: Sequence[Tensor], places: Sequence[Tensor]) -> None:
    """Launch `copy_blocks` of packed/copies.py."""
    largest = max(source.numel() for source in sources)
    _copy_blocks[(len(sources), triton.cdiv(largest, BLOCK))](
        table, KIND=_KINDS[sources[0].dtype], BLOCK=BLOCK, num_warps=8
    )
