"""Whether tensors on a device have values: those on `meta` have none, nor do CUDA's while a twin is on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_types = {"meta"}


@contextmanager
def no_values_on_cuda() -> Iterator[None]:
    """A context in which CUDA tensors are shapes only."""
    _types.add("cuda")
    try:
        yield
    finally:
        _types.discard("cuda")


def has_values(device: torch.device) -> bool:
    """Return whether tensors on `device` have values."""
    return device.type not in _types
