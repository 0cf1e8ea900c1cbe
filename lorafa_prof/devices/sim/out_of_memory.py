"""The twin's error for running out of memory, which code that catches PyTorch's catches too."""

from __future__ import annotations

import torch

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class SimOutOfMemoryError(torch.OutOfMemoryError):
    """A request that the device cannot serve even after cached blocks were given back to it.

    Attributes:
        requested_bytes: bytes that the caller asked for.
        capacity_bytes: bytes that the allocator can get in all; None: no limit, the request was absurd.
        allocated_bytes: bytes in use at that moment.
        reserved_bytes: bytes that the allocator had taken from the device at that moment.
    """

    def __init__(
        self,
        message: str,
        requested_bytes: int,
        capacity_bytes: int | None,
        allocated_bytes: int,
        reserved_bytes: int,
    ) -> None:
        super().__init__(message)
        self.requested_bytes = requested_bytes
        self.capacity_bytes = capacity_bytes
        self.allocated_bytes = allocated_bytes
        self.reserved_bytes = reserved_bytes

    def at(self, module: str, operation: str) -> SimOutOfMemoryError:
        """Return the same error with the module and operation that it came in."""
        where = f"in {module}" if module else "outside of all submodules"
        text = str(self).replace("CUDA out of memory.", f"CUDA out of memory {where} ({operation}).", 1)
        return SimOutOfMemoryError(
            text, self.requested_bytes, self.capacity_bytes, self.allocated_bytes, self.reserved_bytes
        )


def out_of_memory_text(
    segment_bytes: int, capacity_bytes: int, allocated_bytes: int, reserved_bytes: int
) -> str:
    """Return PyTorch's own sentence, which has the size of the segment and not of the request.

    CUDACachingAllocator.cpp, malloc.
    """
    free_bytes = max(capacity_bytes - reserved_bytes, 0)
    return (
        f"CUDA out of memory. Tried to allocate {format_size(segment_bytes)}. GPU 0 has a total capacity of "
        f"{format_size(capacity_bytes)} of which {format_size(free_bytes)} is free. "
        f"Of the allocated memory {format_size(allocated_bytes)} is allocated by PyTorch, and "
        f"{format_size(reserved_bytes - allocated_bytes)} is reserved by PyTorch but unallocated."
    )


def format_size(size: int) -> str:
    """Return `size` bytes as text, in the largest unit that leaves more than one of it.

    CUDACachingAllocator.cpp, format_size.
    """
    # Not as sizes are said elsewhere: the sentence is to be PyTorch's own, to the letter.
    for unit, name in _UNITS:
        if size > unit:
            return f"{size / unit:.2f} {name}"
    return f"{size} bytes"
