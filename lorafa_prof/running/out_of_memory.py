"""Recognising that memory ran out, and saying it in one line."""

from __future__ import annotations

import torch

from lorafa_prof.errors import first_line


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error means that the device, the twin or the host's allocator ran out of memory."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        phrase in text for phrase in ("CUDA out of memory", "can't allocate memory")
    )


def out_of_memory_line(error: BaseException) -> str:
    """Return the sentences of the error that say what was asked for and how much there is.

    CUDA's message has five more.
    """
    sentences = first_line(error).split(". ")
    relevant = [text for text in sentences if "out of memory" in text or "Tried to allocate" in text]
    return ". ".join(relevant).rstrip(".") + "." if relevant else first_line(error)
