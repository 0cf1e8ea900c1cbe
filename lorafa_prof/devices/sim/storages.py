"""Resizing a storage on the twin, as FSDP2 does to free unsharded parameters and to take their memory again.

`torch.UntypedStorage.resize_` is no operation: no dispatch mode sees it, and what stands behind the twin's
storages cannot be resized by PyTorch. So their size is written where PyTorch keeps it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch

from lorafa_prof.errors import LorafaProfError
from lorafa_prof.models.replaced import replaced

_UNLIKELY_BYTES = 0x1B2C_3D4E_5F
_WORD = ctypes.sizeof(ctypes.c_uint64)
_WORDS = 12

_resize: Any = torch.UntypedStorage.resize_


def storages_resized_by(
    resize: Callable[[torch.UntypedStorage, int], None],
) -> AbstractContextManager[None]:
    """Return a context in which `resize` is called to resize storages on the device."""

    def resize_(self: torch.UntypedStorage, size_bytes: int) -> torch.UntypedStorage:
        if self.device.type != "cuda":
            _resize(self, size_bytes)
        else:
            resize(self, size_bytes)
        return self

    return replaced(torch.UntypedStorage, {"resize_": resize_})


def set_bytes(storage: torch.UntypedStorage, size_bytes: int) -> None:
    """Let a storage of the twin have this size."""
    ctypes.c_uint64.from_address(storage._cdata + _offset_of_bytes()).value = size_bytes
    if storage.nbytes() != size_bytes:
        raise _unknown()


@cache
def _offset_of_bytes() -> int:
    """Return where a storage's size is in c10::StorageImpl (c10/core/StorageImpl.h, size_bytes_)."""
    storage = torch.UntypedStorage(_UNLIKELY_BYTES, device="meta")
    words = (ctypes.c_uint64 * _WORDS).from_address(storage._cdata)
    found = [index for index, word in enumerate(words) if word == _UNLIKELY_BYTES]
    if len(found) != 1:
        raise _unknown()
    return found[0] * _WORD


def _unknown() -> LorafaProfError:
    return LorafaProfError(
        f"the twin does not know torch {torch.__version__}: its storages have their size elsewhere"
    )
