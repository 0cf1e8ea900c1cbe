"""Pinned host memory that is taken once and used again in every step."""

from __future__ import annotations

from weakref import WeakSet

import torch
from torch import Tensor

from lorafa_prof.shapes_only import has_values

#: PyTorch rounds pinned memory up to powers of two.
_SLAB_BYTES = 1 << 30
_ALIGNED_BYTES = 512


class HostMemory:
    """Slabs of host memory, cut from their start until all that was cut is let go.

    Where tensors have no values, theirs have none on the host either, and nothing is taken.

    Args:
        device: whose tensors are to be copied there.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._slabs: list[Tensor] = []
        self._number = 0
        self._used = 0
        self._holders: WeakSet[object] = WeakSet()

    def take(self, nbytes: int, holder: object) -> Tensor:
        """Return `nbytes` of memory, not given to anyone else as long as `holder` lives.

        Copies from memory that is let go may still be under way: whoever writes to it does so after them, on
        the same stream.
        """
        if not self._holders:
            self._number = self._used = 0
        self._holders.add(holder)
        while self._number < len(self._slabs) and self._used + nbytes > len(self._slabs[self._number]):
            self._number, self._used = self._number + 1, 0
        if self._number == len(self._slabs):
            self._slabs.append(self._new_slab(max(nbytes, _SLAB_BYTES)))
        start = self._used
        self._used += -(-nbytes // _ALIGNED_BYTES) * _ALIGNED_BYTES
        return self._slabs[self._number][start : start + nbytes]

    def _new_slab(self, nbytes: int) -> Tensor:
        if not has_values(self._device):
            return torch.empty(nbytes, dtype=torch.uint8, device="meta")
        return torch.empty(nbytes, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
