"""What flash-attention's kernels take: 16 bits, heads that are not too wide, lengths of sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lorafa_prof.errors import UsageError

#: How many keys before and after its own a query attends to; -1: all.
Window = tuple[int, int]
#: Running totals of the lengths of queries and of keys, and the longest of each.
Lengths = tuple[Any, Any, Any, Any]
#: Of sequences that are all as long as their tensor.
NO_LENGTHS: Lengths = (None, None, None, None)
#: csrc/flash_attn/flash_api.cpp and hopper/flash_api.cpp, mha_fwd: checks of `head_size`.
WIDEST_HEAD = 256
WIDTH_STEP = 8


def check_query(q: Tensor, attention: str) -> None:
    """Check what the kernels of `attention` check of a query [..., d], but for its device.

    Raises:
        UsageError: it is not of 16 bits, its heads are too wide, or have a width that is not padded.
    """
    if q.dtype not in (torch.float16, torch.bfloat16):
        computed = str(q.dtype).removeprefix("torch.")
        raise UsageError(
            f"attention '{attention}': the kernels take fp16 and bf16 alone, and the model computes its "
            f"queries in {computed}",
            about="attention",
        )
    width = q.shape[-1]
    if width > WIDEST_HEAD:
        raise UsageError(
            f"attention '{attention}': the model's heads are {width} wide, and the kernels take at most "
            f"{WIDEST_HEAD}; sdpa and eager have no such limit",
            about="attention",
        )
    if attention == "flash_attention_3" and width % WIDTH_STEP:
        raise UsageError(
            f"attention 'flash_attention_3': the model's heads are {width} wide, and the kernels take "
            f"multiples of {WIDTH_STEP}; flash_attention_2 pads them",
            about="attention",
        )
