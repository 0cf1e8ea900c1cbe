"""Recognising that memory ran out, and saying it in one line."""

from __future__ import annotations

import re

import torch

from lorafa_prof.errors import first_line
from lorafa_prof.instruments.user_line import lines_of

#: What is said where memory runs out outside of PyTorch's allocator: while a context or a library's handle is
#: made, a kernel is loaded, or on the host. Where others hold the GPU's memory, that comes first.
_SAYINGS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "cudaErrorMemoryAllocation",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "_STATUS_ALLOC_FAILED",  # of cuBLAS, cuDNN, cuSOLVER, cuSPARSE
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "can't allocate memory",
)
#: The same where a library's first handle could not be made, for which memory is the only known reason.
_NO_HANDLE = re.compile(r"_STATUS_NOT_INITIALIZED.*calling.*[cC]reate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device, the twin, or the host's allocator had no memory left; also as another's cause."""
    return _shortage(error) is not None


def out_of_memory_message(error: BaseException) -> str:
    """As `out_of_memory_line`, after the line of the user's own code that it came in, where there is one."""
    line = lines_of(error)
    return f"{line}: {out_of_memory_line(error)}" if line else out_of_memory_line(error)


def out_of_memory_line(error: BaseException) -> str:
    """What was asked for and how much there is: CUDA goes on for five sentences more."""
    line = first_line(_shortage(error) or error)
    told = [text for text in line.split(". ") if "out of memory" in text or "Tried to allocate" in text]
    return ". ".join(told).rstrip(".") + "." if told else line


def _shortage(error: BaseException | None) -> BaseException | None:
    """The error that says that memory ran out: this one, or one that it was raised from."""
    while error is not None and not _says_so(error):
        error = error.__cause__
    return error


def _says_so(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = first_line(error)
    return any(saying in text for saying in _SAYINGS) or _NO_HANDLE.search(text) is not None
