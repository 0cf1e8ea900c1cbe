"""Values on the twin: of integers and booleans, and of floats made from constants. Models branch on them.

What follows from weights, activations or random numbers has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from lorafa_prof.devices.sim.choices import even_choice
from lorafa_prof.devices.sim.constants import (
    constant_of,
    is_pointwise,
    leaves_unknown,
    of_a_healthy_step,
    of_no_zero,
)
from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.host_forms import HOST_FORMS
from lorafa_prof.devices.sim.shapes import tensors_in

# Masks grow with the square of the sequence. Of an operation that gives more in all no values are kept, but
# those of one number.
LARGEST_BYTES = 256 * 2**20
#: Up to here it is looked whether all elements are one number: a mask of tokens without padding is.
_LOOKED_AT_BYTES = 2**20
#: What is known, for errors that say that something is not.
KNOWN = "shapes, and values of integers and booleans and of floats made from constants"

#: That all numbers are finite, that one alone is not zero, that what a model chooses by numbers comes equally
#: often.
Assumption = Literal["finite", "nonzero", "even"]

#: A value is the bytes of a whole storage; one number where all its elements are the same.
_Value = torch.UntypedStorage | Tensor


class KnownValues:
    """Host copies of what storages on the device hold, by the storage's identity.

    They belong to storages and not to tensors, so that every view of a known tensor is known at no cost.

    Attributes:
        is_unknown_on_host: tells of a tensor on the host whether its value is none to go by.
        assumed: what had to hold where a branch or a shape hung on values that are not known, but assumed.
    """

    def __init__(self) -> None:
        self._values: dict[int, _Value] = {}
        self.assumed: set[Assumption] = set()
        self.is_unknown_on_host: Callable[[Tensor], bool] = _is_parameter
        #: Of values that hold only if something does, by their storage.
        self._if: dict[int, frozenset[Assumption]] = {}

    def forget(self, key: int) -> None:
        """Drop the value of a storage that died, or that something unknown was written to."""
        self._values.pop(key, None)
        self._if.pop(key, None)

    def value_of(self, tensor: Tensor) -> Tensor | None:
        """Return a host tensor of the known value of `tensor`, to be read only; None if it is not known."""
        value = self._values.get(_key(tensor))
        if value is None:
            return None
        with on_shapes(False):
            if isinstance(value, Tensor):
                if value.dtype == tensor.dtype:
                    return value.expand(tensor.size())
                value = self._spread(tensor, value)
            host = torch.empty(0, dtype=tensor.dtype)
            return host.set_(value, tensor.storage_offset(), tensor.size(), tensor.stride())

    def read(self, tensor: Tensor) -> Tensor | None:
        """Return the value as `value_of`, and note what is assumed for it."""
        self.assumed |= self._if.get(_key(tensor), frozenset())
        return self.value_of(tensor)

    def knows(self, tensor: Tensor) -> bool:
        """Return whether the value of the storage of `tensor` is known."""
        return _key(tensor) in self._values

    def learn(self, tensor: Tensor, value: Tensor) -> None:
        """Keep `value` for a `tensor` on the device that is the first of its storage."""
        size = tensor.untyped_storage().nbytes()
        if size > LARGEST_BYTES:
            return
        with on_shapes(False):
            if (
                0 < size <= _LOOKED_AT_BYTES
                and _is_all_of(tensor)
                and bool((value == value.flatten()[0]).all())
            ):
                self._values[_key(tensor)] = value.flatten()[0].to(tensor.dtype, copy=True)
                return
        self._values[_key(tensor)] = torch.UntypedStorage(size)
        host = self.value_of(tensor)
        assert host is not None
        with on_shapes(False):
            host.copy_(value)

    def learn_constant(self, tensor: Tensor, number: float) -> None:
        """Keep `number` as the value of all elements of the storage of `tensor`."""
        with on_shapes(False):
            self._values[_key(tensor)] = torch.tensor(number, dtype=tensor.dtype)

    def follow(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Learn what is known of the `result`, in new storages, of an operation that writes to nothing."""
        number = constant_of(func, args)
        if number is not None:
            self.learn_constant(result, number)
            return
        read = self._read(args, kwargs)
        if read is None:
            self._assume(func, args, kwargs, result)
            return
        constant = is_pointwise(func) and isinstance(result, Tensor) and all(map(self._is_constant, read))
        new = [tensor for tensor in tensors_in(result) if tensor.is_cuda]
        if not constant and not _can_be_kept(func, new):
            return
        with suppress(NotImplementedError, RuntimeError):  # the host has no kernel for it: it stays unknown
            values = self._run(func, args, kwargs, self._point if constant else self._on_host)
            for tensor, value in zip(tensors_in(result), tensors_in(values), strict=True):
                if constant:
                    self._values[_key(tensor)] = value.reshape(())
                elif tensor.is_cuda:
                    self.learn(tensor, value)
                self._inherit(read, tensor)
            return
        for tensor in new:
            self.forget(_key(tensor))

    def _assume(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        if (answer := of_a_healthy_step(func, args)) is not None:
            self.learn_constant(result, answer)
            self._if[_key(result)] = frozenset({"finite"})
        elif (answer := of_no_zero(func, args)) is not None:
            self.learn_constant(result, answer)
            self._if[_key(result)] = frozenset({"nonzero"})
        elif (choice := even_choice(func, args, kwargs, result)) is not None:
            self.learn(*choice)
            self._if[_key(choice[0])] = frozenset({"even"})

    def follow_writing(self, func: Any, args: Any, kwargs: Any) -> None:
        """Write what an operation writes to the known values of its arguments; forget what is not known."""
        written = [tensor for tensor in _written(func, args, kwargs) if tensor.is_cuda and self.knows(tensor)]
        if not written:
            return
        read = self._read(args, kwargs)
        constant = read is not None and is_pointwise(func) and all(map(self._is_constant, read))
        constant = constant and all(map(_is_all_of, written))
        if read is not None and (constant or _can_be_kept(func, written)):
            if not constant:
                for tensor in written:
                    self._settle(tensor)
            with suppress(NotImplementedError, RuntimeError):  # as in `follow`
                self._run(func, args, kwargs, self._point if constant else self._on_host)
                for tensor in written:
                    self._inherit(read, tensor)
                return
        for tensor in written:
            self.forget(_key(tensor))

    def forget_written(self, func: Any, args: Any, kwargs: Any) -> None:
        """Forget the values of all that an operation writes to."""
        for tensor in _written(func, args, kwargs):
            self.forget(_key(tensor))

    def compute(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run `func` on the host on the known values of its arguments; returns None if one is not known."""
        if self._read(args, kwargs) is None:
            return None
        return self._run(func, args, kwargs, self._read_on_host)

    def _read(self, args: Any, kwargs: Any) -> list[Tensor] | None:
        """The tensors that an operation is given; None if the value of one is not known."""
        read = []
        for tensor in tensors_in((args, tuple(kwargs.values()))):
            if not self.knows(tensor) if tensor.is_cuda else self.is_unknown_on_host(tensor):
                return None
            read.append(tensor)
        return read

    def _run(self, func: Any, args: Any, kwargs: Any, on_host: Callable[[Tensor], Tensor]) -> Any:
        args, kwargs = tree_map_only(Tensor, on_host, (args, kwargs))
        if "device" in kwargs:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        with on_shapes(False):
            return HOST_FORMS.get(func, func)(*args, **kwargs)

    def _is_constant(self, tensor: Tensor) -> bool:
        if not tensor.is_cuda:
            return tensor.numel() == 1
        value = self._values[_key(tensor)]
        return isinstance(value, Tensor) and value.dtype == tensor.dtype

    def _point(self, tensor: Tensor) -> Tensor:
        """One element of a constant; the types of results depend on whether there are dimensions."""
        one = cast(Tensor, self._values[_key(tensor)]) if tensor.is_cuda else tensor
        return one.reshape((1,) if tensor.dim() else ())

    def _inherit(self, read: list[Tensor], tensor: Tensor) -> None:
        if not self._if:
            return
        assumptions = frozenset[Assumption]().union(*(self._if.get(_key(each), ()) for each in read))
        if assumptions:
            self._if[_key(tensor)] = assumptions

    def _settle(self, tensor: Tensor) -> None:
        """Make the elements of the value such that they can be written one by one."""
        value = self._values[_key(tensor)]
        if isinstance(value, Tensor):
            self._values[_key(tensor)] = self._spread(tensor, value)

    def _spread(self, tensor: Tensor, number: Tensor) -> torch.UntypedStorage:
        elements = tensor.untyped_storage().nbytes() // number.element_size()
        with on_shapes(False):
            return number.expand(elements).clone(memory_format=torch.contiguous_format).untyped_storage()

    def _on_host(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self.value_of(tensor)) if tensor.is_cuda else tensor

    def _read_on_host(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self.read(tensor)) if tensor.is_cuda else tensor


def _is_parameter(tensor: Tensor) -> bool:
    """It is drawn, or is to be."""
    return isinstance(tensor, nn.Parameter)


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _is_all_of(tensor: Tensor) -> bool:
    """Whether `tensor` has all elements of its storage."""
    return tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _can_be_kept(func: Any, tensors: list[Tensor]) -> bool:
    """Whether what `func` gives to `tensors` is known where its arguments are, and small enough to be kept.

    They count together: an optimizer's state, zeros at first, is written to in one operation.
    """
    size = sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    return size <= LARGEST_BYTES and not any(leaves_unknown(func, tensor.dtype) for tensor in tensors)


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """The tensors that an operation writes to, by its schema."""
    for place, name in _places_written(func):
        yield from tensors_in((args[place] if place < len(args) else kwargs.get(name),))


@cache
def _places_written(func: Any) -> tuple[tuple[int, str], ...]:
    return tuple(
        (place, argument.name)
        for place, argument in enumerate(func._schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
