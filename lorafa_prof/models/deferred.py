"""Building a network without its values, and giving it those later, one tensor after another.

What a network is built of is noted instead of run, and run later in the same order: so what is drawn is drawn
from the same generators in the same order, and each tensor is whole only from the first operation that
writes it to the last that needs it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from lorafa_prof.models.later import Call, Later, Like, Taker, Version, run_later
from lorafa_prof.models.replaced import replaced
from lorafa_prof.models.undrawn import Draw, drawn_by

aten = torch.ops.aten
_META = torch.device("meta")
#: What they make has no values to wait for.
_EMPTY = frozenset(
    {
        aten.empty.memory_format,
        aten.empty_strided.default,
        aten.new_empty.default,
        aten.new_empty_strided.default,
        aten.empty_like.default,
    }
)
_MAKES = {
    aten.empty.memory_format,
    aten.empty_strided.default,
    aten.zeros.default,
    aten.ones.default,
    aten.full.default,
    aten.rand.default,
    aten.rand.generator,
    aten.randn.default,
    aten.randn.generator,
    aten.normal.float_float,
}
#: They make a tensor like another.
_MAKES_LIKE = frozenset(
    {
        aten.new_empty.default,
        aten.new_empty_strided.default,
        aten.empty_like.default,
        aten.new_zeros.default,
        aten.new_ones.default,
        aten.new_full.default,
        aten.zeros_like.default,
        aten.ones_like.default,
        aten.rand_like.default,
        aten.randn_like.default,
    }
)
#: They write all of their first argument, whatever it was before.
_OVERWRITES = frozenset({aten.normal_.default, aten.uniform_.default, aten.zero_.default, aten.fill_.Scalar})
#: Of their first argument they take the type alone; and what they are for others that take its shape too.
_OF_A_TYPE = frozenset({aten.new_zeros.default, aten.new_ones.default, aten.new_full.default})
_OF_A_SHAPE = {aten.zeros_like.default: aten.new_zeros.default, aten.ones_like.default: aten.new_ones.default}


class Deferred(TorchDispatchMode):
    """A mode in which tensors of floats that are made on `device` are made on the meta device instead.

    What is computed of them is deferred too; other tensors, such as positions, are real.

    Usage::

        deferred = Deferred(device)
        with deferred:
            linear = nn.Linear(1024, 1024, device=device)
        weight = deferred.later(linear.weight)
        deferred.give({weight.version: [lambda whole: print(weight.part_of(whole).norm())]})

    Known limits: asking for the value of a tensor that comes later is an error, as ever on the meta device. A
    real tensor that numbers are drawn into gets them later, too; what is done to it in between comes first.

    Args:
        device: where values come into being.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device = device
        self._calls: deque[Call] = deque()
        self._times_written: defaultdict[int, int] = defaultdict(int)
        #: By address; they are kept, so that none comes twice.
        self._storages: dict[int, tuple[torch.UntypedStorage, torch.dtype]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Deferred:
        self._stack.enter_context(_fused_as_on(self._device))
        self._stack.enter_context(drawn_by(self._drawing_later))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)  # type: ignore[no-untyped-call]
        self._stack.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation on shapes and note it, if it is of tensors whose values come later."""
        kwargs = kwargs or {}
        if not (_has_meta(args, kwargs) or self._makes(func, args, kwargs) or self._draws(func, args)):
            return func(*args, **kwargs)
        if func is aten._to_copy.default and self._is_there(args[0], kwargs):
            with no_dispatch():
                return aten.detach.default(args[0])
        if func in _OVERWRITES:
            self._written_anew(args[0])
        if "device" in kwargs and self._is_here(kwargs["device"]):
            kwargs = {**kwargs, "device": self._device}
        if func in _OF_A_SHAPE:
            func, args = _OF_A_SHAPE[func], (args[0], args[0].size())
            kwargs = {name: value for name, value in kwargs.items() if name != "memory_format"}
        noted, options = tree_map_only(Tensor, self._noted, (args, kwargs))
        if func in _OF_A_TYPE:  # so that what it is like need not be there any more
            noted = (Like(args[0].dtype, self._device), *noted[1:])
        before = len(self._storages)
        result = self._on_shapes(func, args, kwargs)
        results = tree_leaves(tree_map_only(Tensor, self._noted, result))
        if func in _MAKES:  # whatever the default type is by then
            options = {**options, "dtype": result.dtype}
        is_mutating = func._schema.is_mutable and torch.Tag.inplace_view not in func.tags
        is_view = not is_mutating and len(self._storages) == before
        if not is_view and func not in _EMPTY:
            self._calls.append(Call(func, noted, options, results))
        return result

    @contextmanager
    def off(self) -> Iterator[None]:
        """A context in which nothing is deferred, inside of the mode's own."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def later(self, tensor: Tensor) -> Later:
        """Return what is known of `tensor`, which has no values yet."""
        later = self._noted(tensor)
        assert isinstance(later, Later), tensor.device
        return later

    def give(self, takers: Mapping[Version, Iterable[Taker]]) -> None:
        """Run what was noted, once; hand each whole tensor, on the device, to those who take it.

        A taker gets what its storage was first made as; `Later.part_of` gives the part that is meant. It is
        gone after its takers, unless they keep it.
        """
        run_later(self._calls, takers, self._blank)

    def _drawing_later(self, draw: Draw) -> Draw:
        """Return what notes such a draw as a whole: some draw until they like all the numbers."""

        @wraps(draw)
        def noting(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not tensor.is_meta or not tensor.numel():
                return draw(tensor, *args, **kwargs)
            self._written_anew(tensor)
            later = self._noted(tensor.detach())
            self._calls.append(Call(draw, (later, *args), kwargs, []))
            return tensor

        return noting

    def _written_anew(self, tensor: Tensor) -> None:
        if _is_whole(tensor):
            self._times_written[tensor.untyped_storage()._cdata] += 1

    def _blank(self, version: Version) -> Tensor:
        """Return a tensor on the device that has room for all of the storage."""
        storage, dtype = self._storages[version[0]]
        return torch.empty(storage.nbytes() // dtype.itemsize, dtype=dtype, device=self._device)

    def _noted(self, tensor: Tensor) -> Later | Tensor:
        if not tensor.is_meta:
            return tensor
        storage = tensor.untyped_storage()
        self._storages.setdefault(storage._cdata, (storage, tensor.dtype))
        version = (storage._cdata, self._times_written[storage._cdata])
        offset = int(tensor.storage_offset())
        return Later(version, tuple(tensor.size()), tensor.stride(), offset, tensor.dtype)

    def _on_shapes(self, func: Any, args: Any, kwargs: Any) -> Any:
        is_in_place = func._schema.is_mutable and func.__name__.split(".")[0].endswith("_")
        if is_in_place and torch.Tag.inplace_view not in func.tags:
            return args[0]
        shapes, options = tree_map_only(Tensor, _shape_of, (args, kwargs))
        if func in _MAKES or func in _MAKES_LIKE or options.get("device") is not None:
            options = {**options, "device": _META}
        if options.get("generator") is not None:
            options = {**options, "generator": None}
        with no_dispatch():
            return func(*shapes, **options)

    def _makes(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Whether the operation, all of whose arguments are real, makes a tensor of floats on the device."""
        device = kwargs.get("device")
        if func is aten._to_copy.default:
            if device is None or not self._is_here(device):
                return False
            elsewhere = args[0].device.type != self._device.type
            return bool(device.type == "meta" or (elsewhere and args[0].is_floating_point()))
        dtype = kwargs.get("dtype")
        if func in _MAKES_LIKE:
            device, dtype = device or args[0].device, dtype or args[0].dtype
        elif func not in _MAKES:
            return False
        if not self._is_here(device or torch.device("cpu")):
            return False
        if dtype is None:
            return func is not aten.full.default or isinstance(args[1], float)
        return bool(dtype.is_floating_point)

    def _draws(self, func: Any, args: Any) -> bool:
        """Whether the operation draws numbers into a real tensor, which must wait for its turn."""
        if not func._schema.is_mutable or torch.Tag.nondeterministic_seeded not in func.tags:
            return False
        first = args[0]
        return isinstance(first, Tensor) and first.device.type == self._device.type

    def _is_here(self, device: torch.device | None) -> bool:
        return device is not None and device.type in ("meta", self._device.type)

    def _is_there(self, tensor: Tensor, kwargs: Any) -> bool:
        """Whether a copy of `tensor` would be the same tensor, on the device where it is going to be."""
        same = kwargs.get("dtype") in (None, tensor.dtype)
        return bool(same and tensor.is_meta and self._is_here(kwargs.get("device")))


def _fused_as_on(device: torch.device) -> AbstractContextManager[None]:
    """A context in which optimizers have fused kernels for tensors on meta, if they have some on `device`."""
    optimizer = import_module("torch.optim.optimizer")
    supported = optimizer._get_fused_kernels_supported_devices()
    more = [*supported, "meta"] if device.type in supported else supported
    return replaced(optimizer, {"_get_fused_kernels_supported_devices": lambda: more})


def _has_meta(args: Any, kwargs: Any) -> bool:
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            if value.is_meta:
                return True
        elif isinstance(value, (list, tuple)) and _has_meta(value, {}):
            return True
    return False


def _is_whole(tensor: Tensor) -> bool:
    return tensor.is_meta and tensor.nbytes == tensor.untyped_storage().nbytes()


def _shape_of(tensor: Tensor) -> Tensor:
    if tensor.is_meta or not tensor.dim():
        return tensor
    with no_dispatch():
        return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=_META)
