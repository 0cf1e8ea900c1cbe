"""Copies, on the host, of what a twin does not know: numbers that only the GPU could tell.

A script that logs a loss copies it to the host; the copy is made of `nan`, and what is computed of it is as
little known. Where a shape or a branch hangs on one there is no answer.
"""

from __future__ import annotations

import weakref
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.shapes import tensors_in
from lorafa_prof.errors import LorafaProfError

#: The memory of larger tensors is taken and not touched, so that the host need not have it.
_FILLED_BYTES = 1 << 20
aten = torch.ops.aten
#: They take nothing of their argument but its shape.
_OF_A_SHAPE = frozenset(
    {
        aten.zeros_like.default,
        aten.ones_like.default,
        aten.full_like.default,
        aten.new_zeros.default,
        aten.new_ones.default,
        aten.new_full.default,
        aten.empty_like.default,
        aten.new_empty.default,
    }
)
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
        """Return whether the numbers of a tensor on the host are not known.

        Those of a parameter never are: it was not drawn.
        """
        return isinstance(tensor, nn.Parameter) or tensor.untyped_storage()._cdata in self._storages

    def copy_of(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """Return a tensor on the host of the size of `tensor`, whose numbers are not known."""
        with on_shapes(False):
            shape = torch.empty(tensor.size(), device="meta")
            copied = _blank(shape.size(), shape.stride(), dtype)
        self.note(copied)
        return copied

    def note(self, tensor: Tensor) -> None:
        """Note that the numbers of a tensor on the host are not known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._storages:
            self._storages[key] = weakref.ref(storage, lambda _: self._storages.pop(key, None))

    def concerns(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Return whether `func`, all of whose tensors are on the host, reads or writes unknown numbers."""
        if func in _OF_A_SHAPE:
            return False
        return any(self.has(each) for each in tensors_in((args, tuple(kwargs.values()))))

    def run(self, func: Any, args: Any, kwargs: Any, is_view: bool) -> Any:
        """Run what reads or writes unknown numbers, by shapes where it can be: weights may be many.

        Returns:
            its result, as little known; None if it hangs on the numbers.
        """
        if any(tag in func.tags for tag in _HANGS_ON_VALUES):
            return None
        with on_shapes(False):
            if is_view:
                result = func(*args, **kwargs)
            elif func._schema.is_mutable:
                result = args[0] if func.__name__.split(".")[0].endswith("_") else func(*args, **kwargs)
            else:
                result = self._by_shapes(func, args, kwargs)
        for made in tensors_in((args[0], result) if func._schema.is_mutable else result):
            self.note(made)
        return result

    def _by_shapes(self, func: Any, args: Any, kwargs: Any) -> Any:
        shapes, options = tree_map_only(Tensor, _shape_of, (args, kwargs))
        if options.get("device") is not None:
            options = {**options, "device": torch.device("meta")}
        try:
            made = func(*shapes, **options)
        except NotImplementedError:  # there is no such kernel
            return func(*args, **kwargs)
        return tree_map_only(Tensor, lambda shape: _blank(shape.size(), shape.stride(), shape.dtype), made)


def _shape_of(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


def _blank(size: Any, stride: Any, dtype: torch.dtype) -> Tensor:
    """Return a tensor whose memory on the host is not touched, unless it is small."""
    blank = torch.empty_strided(size, stride, dtype=dtype)
    if blank.nbytes <= _FILLED_BYTES:
        blank.fill_(torch.nan if dtype.is_floating_point or dtype.is_complex else 0)
    return blank
