"""The twin's dispatch mode: every operation runs on shapes, every storage gets a block of the allocator."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from lorafa_prof.devices.sim.cuda_answers import another_gpu
from lorafa_prof.devices.sim.device_tensors import DeviceTensors, Shadows, on_shapes
from lorafa_prof.devices.sim.in_place import holders_of_a_free_gradient, in_place, in_place_form
from lorafa_prof.devices.sim.kernels.kernel import Model, ModelsByOperation
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.devices.sim.out_dtypes import OUT_DTYPE_PRODUCTS, product_of_shapes
from lorafa_prof.devices.sim.shapes import ShapeCache, tensors_in
from lorafa_prof.devices.sim.storages import set_bytes
from lorafa_prof.devices.sim.unknown_on_host import UnknownOnHost
from lorafa_prof.devices.sim.values import KNOWN, Assumption, KnownValues
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.parallel.local import local_part

_HOST = torch.device("cpu")
_META = torch.device("meta")
_COPY = torch.ops.aten.copy_.default

_fake_mode = partial(torch._C._get_dispatch_mode, torch._C._TorchDispatchModeKey.FAKE)


class BlockSource(Protocol):
    """The functions of an allocator that the mode calls."""

    def malloc(self, requested_bytes: int) -> Any:
        """Return a block of `requested_bytes`."""

    def free(self, block: Any) -> None:
        """Take a block back."""


class _Life(weakref.ref):  # type: ignore[type-arg]
    """A weak reference to a storage that still has its key and its block when the storage is gone."""

    __slots__ = ("block", "key")
    block: Any
    key: int


class TwinMode(TorchDispatchMode):
    """Runs operations on CUDA tensors by shapes: their storages take blocks of `memory` and give them back.

    Args:
        machine: the GPU and its CUDA build.
        memory: the allocator that blocks come from.
        models: how to run operations that allocate more than their results, or other than `meta` says.

    Attributes:
        operation: the operation that runs or ran last; None before the first.
        operations: all operations that ran on the device, and names of kernels that are none of PyTorch.
        number: how many operations ran, to tell two of one name apart.
        in_kernel: whether a kernel is asking for memory for itself, not for a tensor.
        newborn: the tensor for whose storage memory is being asked for; None at other times.
        unknown_on_host: follows unknown numbers onto the host; None: copying them there is an error. Set by
            `follow_onto_host`.
    """

    def __init__(self, machine: Machine, memory: BlockSource, models: ModelsByOperation) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.machine = machine
        self.memory = memory
        self.operation: Any = None
        self.operations: set[Any] = set()
        self.number = 0
        self.in_kernel = False
        self.newborn: Tensor | None = None
        self.unknown_on_host: UnknownOnHost | None = None
        self._models = models
        self._free_gradient = holders_of_a_free_gradient()
        self._values = KnownValues()
        self._tensors = DeviceTensors()
        self._shapes = ShapeCache(self._tensors)
        self._modelled = Shadows(self._tensors)
        self._live: dict[int, _Life] = {}
        self._kept: set[tuple[bool, str]] = set()
        self._mutating: dict[Any, bool] = {}
        self._followed: Any = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation by its model in the kernel table, if it has one, else on shapes."""
        kwargs = kwargs or {}
        if _fake_mode() is not None:  # DTensor asks for a shape
            return func(*args, **kwargs)
        if types and any(kind.__torch_dispatch__ != Tensor.__torch_dispatch__ for kind in types):
            return NotImplemented  # DTensor's part comes first, and runs the operation on what it holds
        func = in_place_form(func)
        self.operation = func
        _check_device(kwargs.get("device"))
        on_device = _concerns_device(args, kwargs)
        if on_device:
            self.operations.add(func)
        self.number += 1
        if in_place(func, args, kwargs, self._free_gradient):
            self._values.forget(args[0].untyped_storage()._cdata)
            return args[0]
        model = self._models.get(func) if on_device else None
        if model is not None:
            return self._run_model(model, func, args, kwargs)
        return self.run(func, args, kwargs)

    def _run_model(self, model: Model, func: Any, args: Any, kwargs: Any) -> Any:
        """Run a model, which may make its results on `meta`."""
        before, self._modelled = self._modelled, Shadows(self._tensors)
        self._followed = None
        try:
            with on_shapes():
                result = model(self, func, args, kwargs)
            return _mapped(self._modelled.on_device, result)
        finally:
            self._modelled = before
            if self._is_mutating(func) and self._followed is not func:
                self._values.forget_written(func, args, kwargs)

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run `func` on shapes and give memory to the storages it returns."""
        if not _concerns_device(args, kwargs):
            return self._run_on_host(func, args, kwargs)
        key = self._shapes.key(func, args, kwargs)
        result = self._shapes.recall(key, args) if key is not None else None
        if result is not None:
            key = None
        else:
            try:
                result = self._run_on_shapes(func, args, kwargs)
            except NotImplementedError:
                result = self._run_on_values(func, args, kwargs)
                key = None  # other values of the same shape have another result
        fresh = [tensor for tensor in tensors_in(result) if self._birth(tensor)]
        mutating = self._is_mutating(func)
        if mutating:
            self._followed = func
            self._values.follow_writing(func, args, kwargs)
        elif fresh:
            self._values.follow(func, args, kwargs, result)
        if key is not None and (mutating or len(fresh) == len(list(tensors_in(result)))):
            self._shapes.remember(key, args, result)
        return result

    def _run_on_shapes(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self._shapes.is_view(func):
            with on_shapes():
                return func(*args, **kwargs)
        shadows = Shadows(self._tensors)
        shapes, options = tree_map_only(Tensor, shadows.shape_of, (args, kwargs))
        device = options.get("device")
        if device is not None and device.type == "cuda":
            options = {**options, "device": _META}
        with on_shapes(False):
            run = product_of_shapes if func in OUT_DTYPE_PRODUCTS else func
            result = run(*shapes, **options)
        shadows.follow_resizing()
        if device is not None and device.type != "cuda":
            return result
        return _mapped(shadows.on_device, result)

    def _is_mutating(self, func: Any) -> bool:
        mutating = self._mutating.get(func)
        if mutating is None:
            mutating = self._mutating[func] = func._schema.is_mutable
        return mutating

    def born(self, *tensors: Tensor | None) -> None:
        """Give memory to the storages of these tensors, in this order."""
        for tensor in tensors:
            if tensor is not None:
                self._birth(self._modelled.on_device(tensor))

    def launch(self, kernel: str, tensors: Iterable[Tensor]) -> None:
        """Note that a kernel runs which is no operation of PyTorch, and may write to any of `tensors`."""
        self.operations.add(kernel)
        self.written(*tensors)

    def written(self, *tensors: Tensor) -> None:
        """Note that something unknown is written to the storages of these tensors."""
        for tensor in tensors:
            self._values.forget(tensor.untyped_storage()._cdata)

    def take(self, size_bytes: int) -> Any:
        """Take memory for use inside a kernel, and return its block; `give_back` frees it."""
        self.in_kernel = True
        try:
            return self.memory.malloc(size_bytes)
        finally:
            self.in_kernel = False

    def give_back(self, *blocks: Any) -> None:
        """Free blocks that `take` returned, in this order."""
        for block in blocks:
            self.memory.free(block)

    def keep(self, key: str, size_bytes: int) -> None:
        """Take memory that is never given back: once in the forward's thread and once in the backward's."""
        # Backward runs in a thread of its own on CUDA; what it recomputes of forward does too.
        in_backward = torch._C._current_graph_task_id() != -1
        if (in_backward, key) not in self._kept:
            self._kept.add((in_backward, key))
            self.take(size_bytes)

    def use_workspace(self, library: str, size_bytes: int) -> None:
        """Take a library's workspace for a matrix product: kept, or given back, as PyTorch's release does."""
        if self.machine.gives_workspaces_back:
            self.give_back(self.take(size_bytes))
        else:
            self.keep(library, size_bytes)

    def block_of(self, tensor: Tensor) -> Any:
        """Return the block behind the tensor's storage, or this rank's part of it; None if it has none."""
        return self.block_of_storage(local_part(tensor).untyped_storage())

    def block_of_storage(self, storage: torch.UntypedStorage) -> Any:
        """Return the block behind the storage; None if it has none."""
        life = self._live.get(storage._cdata)
        return None if life is None else life.block

    def resize(self, storage: torch.UntypedStorage, size_bytes: int) -> None:
        """Take memory of another size for a storage, then free what it had.

        ATen/native/cuda/Resize.cpp, resize_bytes_cuda.
        """
        life = self._live[storage._cdata]
        before, life.block = life.block, self.memory.malloc(size_bytes) if size_bytes else None
        set_bytes(storage, size_bytes)
        self._values.forget(storage._cdata)
        if before is not None:
            self.memory.free(before)

    def value_of(self, tensor: Tensor) -> Tensor | None:
        """Return the value of a tensor, on the host and to be read only; None if it is not known."""
        return self._values.read(tensor)

    @property
    def assumed(self) -> frozenset[Assumption]:
        """What had to be assumed of numbers that the twin does not know, since something hung on it."""
        return frozenset(self._values.assumed)

    def follow_onto_host(self, unknown: UnknownOnHost) -> None:
        """Let copies to the host of what is not known be as little known, from here on."""
        self.unknown_on_host = unknown
        self._values.is_unknown_on_host = unknown.has

    def assume(self, assumption: Assumption) -> None:
        """Note that something hung on numbers that are not known, and what was assumed of them."""
        self._values.assumed.add(assumption)

    def learn(self, tensor: Tensor, value: float) -> None:
        """Keep `value` as that of all elements of `tensor`, of any type, until something writes to it."""
        self._followed = self.operation
        self._values.learn_constant(tensor, value)

    def _birth(self, tensor: Tensor) -> bool:
        if not tensor.is_cuda:
            return False
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live:
            return False
        life = _Life(storage, self._part)
        size = storage.nbytes()
        life.key = key
        self.newborn = tensor
        try:
            life.block = self.memory.malloc(size) if size else None
        finally:
            self.newborn = None
        self._live[key] = life
        return True

    def _part(self, life: _Life) -> None:
        del self._live[life.key]
        self._values.forget(life.key)
        if life.block is not None:
            self.memory.free(life.block)

    def _run_on_host(self, func: Any, args: Any, kwargs: Any) -> Any:
        unknown = self.unknown_on_host
        if unknown is not None and unknown.concerns(func, args, kwargs):
            result = unknown.run(func, args, kwargs, self._shapes.is_view(func))
            if result is None:
                unknown.refuse(_not_known("result", func))
            return result
        with on_shapes(False):
            return func(*args, **kwargs)

    def _run_on_values(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation whose result's shape depends on values, or a copy to the host."""
        result = self._values.compute(func, args, kwargs)
        to_host = kwargs.get("device") == _HOST
        if result is not None:
            return result if to_host else _mapped(self._like, result)
        error = _not_known("result" if to_host else "shape of the result", func)
        if self.unknown_on_host is not None:
            if to_host:
                return self.unknown_on_host.copy_of(args[0], kwargs.get("dtype") or args[0].dtype)
            if func is _COPY and not args[0].is_cuda:
                self.unknown_on_host.note(args[0])
                return args[0]
            self.unknown_on_host.refuse(error)
        raise error

    def _like(self, tensor: Tensor) -> Tensor:
        return self._tensors.empty_strided(tensor.size(), tensor.stride(), tensor.dtype)


def _not_known(what: str, func: Any) -> LorafaProfError:
    return LorafaProfError(
        f"the {what} of {func} depends on values that the twin does not know; it knows {KNOWN}"
    )


def _check_device(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda" and device.index:
        raise another_gpu(device)


def _concerns_device(args: Any, kwargs: Any) -> bool:
    """Return whether an operation reads, writes or makes a tensor on the device."""
    for value in args:
        if isinstance(value, Tensor):
            if value.is_cuda:
                return True
        elif isinstance(value, (list, tuple)) and _concerns_device(value, {}):
            return True
    for value in kwargs.values():
        if isinstance(value, Tensor):
            if value.is_cuda:
                return True
        elif isinstance(value, torch.device) and value.type == "cuda":
            return True
    return False


def _mapped(function: Any, result: Any) -> Any:
    """Return `result` with `function` applied to each tensor in it."""
    if isinstance(result, Tensor):
        return function(result)
    if isinstance(result, (tuple, list)):
        return type(result)([_mapped(function, item) for item in result])
    return result
