"""Telling that memory ran out from other errors, and saying it in one line."""

from __future__ import annotations

import torch

from lorafa_prof.errors import first_line


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, the twin, or the host's allocator had no memory left."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        told in text for told in ("CUDA out of memory", "can't allocate memory")
    )


def out_of_memory_line(error: BaseException) -> str:
    """What was asked for and how much there is: CUDA goes on for five sentences more."""
    sentences = first_line(error).split(". ")
    told = [text for text in sentences if "out of memory" in text or "Tried to allocate" in text]
    return ". ".join(told).rstrip(".") + "." if told else first_line(error)
