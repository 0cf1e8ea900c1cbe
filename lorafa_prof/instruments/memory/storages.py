"""Following storages from birth to death, on any device, without an allocator to ask."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from lorafa_prof.layers.quantized.state import statistics
from lorafa_prof.parallel.local import has_sharded, local_part

#: FSDP2's operations, around which it gives gathered parameters memory and takes it away.
_OF_SHARDING = "fsdp"


def storage_key(tensor: Tensor) -> int:
    """Return the identity of the tensor's storage, the same for all its views, while it lives.

    Of a sharded tensor it is that of this rank's part.
    """
    return int(local_part(tensor).untyped_storage()._cdata)


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the distinct storages behind `tensors`, on this rank."""
    parts = map(local_part, tensors)
    return sum({storage_key(part): part.untyped_storage().nbytes() for part in parts}.values())


def model_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters and buffers of `model`, and what quantized weights are unpacked with."""
    yield from model.parameters()
    yield from model.buffers()
    yield from statistics(model)


def buffers_on_host(model: nn.Module) -> list[Tensor]:
    """Return the buffers of a model on a GPU that are on the host, where the code that made them left them.

    They take no memory of the GPU but what they are copied to when they are used.
    """
    if not any(parameter.is_cuda for parameter in model.parameters()):
        return []
    return [buffer for buffer in model.buffers() if buffer.device.type == "cpu"]


def state_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield what modules keep from step to step as plain attributes, such as the state of a recurrence."""
    for module in model.modules():
        for value in tree_iter(
            {name: kept for name, kept in vars(module).items() if not name.startswith("_")}
        ):
            if isinstance(value, Tensor):
                yield value


def state_storages(model: nn.Module, device_type: str) -> list[tuple[weakref.ref[torch.UntypedStorage], int]]:
    """Return weak references to the distinct storages of `state_tensors`, with their bytes."""
    tensors = [tensor for tensor in state_tensors(model) if tensor.device.type == device_type]
    storages = {storage_key(tensor): tensor.untyped_storage() for tensor in tensors}
    return [(weakref.ref(storage), storage.nbytes()) for storage in storages.values()]


def optimizer_tensors(optimizer: Optimizer, device_type: str) -> Iterator[Tensor]:
    """Yield the tensors in the state of `optimizer` that are on `device_type`; step counts may not be."""
    for value in tree_iter(dict(optimizer.state)):
        if isinstance(value, Tensor) and value.device.type == device_type:
            yield value


class StorageFollower(TorchDispatchMode):
    """A dispatch mode that keeps the bytes of live storages on one type of device.

    Every operation executed under it is seen below autograd; a storage it returns for the first time is
    born there, and dies when its last tensor does. What lived before is added by `adopt`. Memory that a
    kernel takes and gives back inside itself is out of its sight.

    The technique is that of PyTorch's own `torch/distributed/_tools/mem_tracker.py`.

    Attributes:
        live_bytes: bytes of the storages that live now.
        peak_bytes: the largest `live_bytes` since the last `reset_peak`.
    """

    def __init__(
        self, device_type: str, on_birth: Callable[[torch.UntypedStorage, int], None] | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device_type = device_type
        self.live_bytes = 0
        self.peak_bytes = 0
        self._live: dict[int, int] = {}
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._on_birth = on_birth

    def adopt(self, tensors: Iterable[Tensor]) -> None:
        """Count storages that were there before the mode was entered."""
        for tensor in tensors:
            self._meet(tensor, adopted=True)

    def reset_peak(self) -> None:
        """Set the peak to the bytes that live now."""
        self.peak_bytes = self.live_bytes

    def _meet(self, tensor: Tensor, adopted: bool = False) -> None:
        if tensor.device.type != self.device_type:
            return
        storage = local_part(tensor).untyped_storage()
        key = int(storage._cdata)
        size = storage.nbytes()
        born = key not in self._live
        # A known storage may have grown: `resize_`, or an `out=` of another size.
        self.live_bytes += size - self._live.get(key, 0)
        self._live[key] = size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        if not born:
            return
        weakref.finalize(storage, self._part, key)
        self._storages[key] = weakref.ref(storage)
        if self._on_birth is not None and not adopted:
            self._on_birth(storage, size)

    def _part(self, key: int) -> None:
        self.live_bytes -= self._live.pop(key)
        del self._storages[key]

    def look_again(self) -> None:
        """Count what storages have now that were resized out of sight, as FSDP2 frees gathered parameters."""
        for key, reference in self._storages.items():
            storage = reference()
            if storage is not None:
                size = storage.nbytes()
                self.live_bytes += size - self._live[key]
                self._live[key] = size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count the storages it returns."""
        if has_sharded(types):
            return NotImplemented
        if func.namespace == _OF_SHARDING:
            self.look_again()
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._meet(value)
        return result
