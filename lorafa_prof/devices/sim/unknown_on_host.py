"""Copies, on the host, of what a twin does not know: numbers that only the GPU could tell.

A script that logs a loss copies it to the host; the copy is made of `nan`, and what is computed of it is as
little known. Where a shape or a branch hangs on one there is no answer.
"""

from __future__ import annotations

import weakref
from typing import Any, NoReturn

import torch
from torch import Tensor

from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.shapes import tensors_in
from lorafa_prof.errors import LorafaProfError

#: Larger copies are zeros, whose pages the host does not have to have.
_FILLED_BYTES = 1 << 20
_HANGS_ON_VALUES = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class UnknownOnHost:
    """Storages on the host whose numbers are not known, and what follows from them.

    Attributes:
        refused: errors of code in which something hung on such a number, whether or not it caught them.
    """

    def __init__(self) -> None:
        self.refused: list[LorafaProfError] = []
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def refuse(self, error: LorafaProfError) -> NoReturn:
        """Raise `error`, which is known of even where the code catches it."""
        self.refused.append(error)
        raise error

    def has(self, tensor: Tensor) -> bool:
        """Return whether the numbers of a tensor on the host are not known."""
        return tensor.untyped_storage()._cdata in self._storages

    def copy_of(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a tensor on the host of the size of `tensor`, whose numbers are not known."""
        with on_shapes(False):
            size_bytes = tensor.numel() * dtype.itemsize
            if dtype.is_floating_point and size_bytes <= _FILLED_BYTES:
                copied = torch.full(tensor.size(), torch.nan, dtype=dtype)
            else:
                copied = torch.zeros(tensor.size(), dtype=dtype)
        self.note(copied)
        return copied

    def note(self, tensor: Tensor) -> None:
        """Note that the numbers of a tensor on the host are not known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._storages:
            self._storages[key] = weakref.ref(storage, lambda _: self._storages.pop(key, None))

    def answers(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Return whether what `func` says of tensors on the host hangs on none of these."""
        if not self._storages or not any(tag in func.tags for tag in _HANGS_ON_VALUES):
            return True
        return not self._reads(args, kwargs)

    def follow(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Note what `func` made of numbers that are not known; all its tensors are on the host."""
        if not self._storages or not self._reads(args, kwargs):
            return
        for made in tensors_in(result):
            self.note(made)

    def _reads(self, args: Any, kwargs: Any) -> bool:
        return any(self.has(each) for each in tensors_in((args, tuple(kwargs.values()))))
