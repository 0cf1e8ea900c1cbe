"""The values of integer and boolean tensors on the twin: they are small, and models branch on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map_only

from lorafa_prof.devices.sim.device_tensors import on_shapes

# Masks grow with the square of the sequence. Values of larger ones are not kept: no model here asks for them.
LARGEST_BYTES = 256 * 2**20
_VALUED = frozenset(
    {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64},
)


class KnownValues:
    """Host copies of the storages of integer and boolean tensors on the device, by the storage's identity.

    They belong to storages and not to tensors, so that every view of a known tensor is known at no cost.
    """

    def __init__(self) -> None:
        self._storages: dict[int, torch.UntypedStorage] = {}

    def forget(self, key: int) -> None:
        """Drop the value of a storage that died, or that something unknown was written to."""
        self._storages.pop(key, None)

    def value_of(self, tensor: Tensor) -> Tensor | None:
        """Return a host tensor that shares the known storage of `tensor`; None if its value is not known."""
        storage = self._storages.get(tensor.untyped_storage()._cdata)
        if storage is None:
            return None
        with on_shapes(False):
            host = torch.empty(0, dtype=tensor.dtype)
            return host.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())

    def knows(self, tensor: Tensor) -> bool:
        """Return whether the value of the storage of `tensor` is known."""
        return tensor.untyped_storage()._cdata in self._storages

    def learn(self, tensor: Tensor, value: Tensor) -> None:
        """Keep `value` for a `tensor` on the device that is the first of its storage."""
        size = tensor.untyped_storage().nbytes()
        if size > LARGEST_BYTES:
            return
        self._storages[tensor.untyped_storage()._cdata] = torch.UntypedStorage(size)
        host = self.value_of(tensor)
        assert host is not None
        with on_shapes(False):
            host.copy_(value)

    def compute(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run `func` on the host on the known values of its arguments; returns None if one is not known."""
        if any(self._unknown(value) for value in tree_iter((args, kwargs))):
            return None
        host_args, host_kwargs = tree_map_only(Tensor, self._on_host, (args, kwargs))
        if "device" in host_kwargs:
            host_kwargs = {**host_kwargs, "device": torch.device("cpu")}
        with on_shapes(False):
            return func(*host_args, **host_kwargs)

    def _unknown(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.is_cuda and not self.knows(value)

    def _on_host(self, tensor: Tensor) -> Tensor:
        if not tensor.is_cuda:
            return tensor
        value = self.value_of(tensor)
        assert value is not None
        return value


def can_have_value(tensor: Tensor) -> bool:
    """Return whether the twin keeps values of tensors of this type."""
    return tensor.dtype in _VALUED
