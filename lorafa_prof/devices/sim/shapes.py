"""A cache of operations' results on the device, by the shapes of their arguments.

A network repeats its layers, and a step the one before it: nearly every operation was run before on tensors
of the same shapes, while PyTorch finds the shape of many results in Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lorafa_prof.devices.sim.device_tensors import DeviceTensors

#: These return their argument's storage, and their schema does not say so.
_UNDECLARED_VIEWS = ("_unsafe_view", "_reshape_alias")
#: These write to a tensor's shape or storage, not only to its elements.
_RESHAPING = (
    "set_",
    "as_strided_",
    "squeeze_",
    "unsqueeze_",
    "transpose_",
    "swap",
    "t_",
    "detach_",
)


class ShapeCache:
    """Remembers the results of operations that make new storages or write to their first argument."""

    def __init__(self, tensors: DeviceTensors) -> None:
        self._tensors = tensors
        self._results: dict[Any, Any] = {}
        self._kinds: dict[Any, str] = {}

    def is_view(self, func: Any) -> bool:
        """Return whether `func` returns views of its arguments, or changes their shape or storage."""
        return self._kind(func) == "view"

    def _kind(self, func: Any) -> str:
        kind = self._kinds.get(func)
        if kind is None:
            kind = self._kinds[func] = _kind(func)
        return kind

    def key(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Return what decides the shapes that `func` returns; None if its result is not remembered."""
        if self._kind(func) in ("view", "other"):
            return None
        try:
            return (func, _described(args), _described(tuple(kwargs.items())) if kwargs else None)
        except TypeError:
            return None

    def recall(self, key: Any, args: Any) -> Any:
        """Return a result like the one that was remembered for `key`; None if there is none."""
        result = self._results.get(key)
        if result is None:
            return None
        return args[0] if result is _FIRST_ARGUMENT else self._made(result)

    def remember(self, key: Any, args: Any, result: Any) -> None:
        """Keep the form of `result`: dense tensors, or the first argument; others are not kept."""
        if args and result is args[0]:
            self._results[key] = _FIRST_ARGUMENT
        elif self._kinds[key[0]] == "pure" and (described := _result(result)) is not None:
            self._results[key] = described

    def _made(self, described: Any) -> Any:
        if isinstance(described, list):
            return tuple([self._made(item) for item in described])
        if isinstance(described, _Plain):
            return described.value
        return self._tensors.empty_strided(*described)


_FIRST_ARGUMENT = object()


def _kind(func: Any) -> str:
    """Return "pure", "in place", "view" or "other".

    A pure function makes new tensors; one in place writes to elements of its first argument; a view shares
    storages with its arguments, or changes their shape.
    """
    schema = func._schema
    aliases = [value.alias_info for value in schema.returns]
    name = schema.name.split("::")[1]
    if not schema.is_mutable:
        return "view" if any(aliases) or name in _UNDECLARED_VIEWS else "pure"
    if name.startswith(_RESHAPING):
        return "view"
    if name.startswith("resize"):
        return "other"
    return "in place" if name.endswith("_") and len(aliases) == 1 else "other"


def _described(value: Any) -> Any:
    if isinstance(value, Tensor):
        return (value.shape, value.stride(), value.dtype, value.is_cuda)
    if isinstance(value, (tuple, list)):
        return tuple([_described(item) for item in value])
    if type(value) is float or type(value) is bool:
        # 1, 1.0 and True are the same key, and not the same type of result.
        return (type(value), value)
    hash(value)
    return value


def _result(value: Any) -> Any:
    """Return the form of a result: a tuple for a tensor, a list for several; None if it cannot be kept."""
    if isinstance(value, Tensor):
        dense = value.is_cuda and not value.storage_offset()
        return (value.size(), value.stride(), value.dtype) if dense else None
    if not isinstance(value, (tuple, list)):
        return None
    described = [_result(item) if isinstance(item, Tensor) else _Plain(item) for item in value]
    return None if None in described else described


@dataclass(frozen=True)
class _Plain:
    value: Any


def tensors_in(result: Any) -> Iterator[Tensor]:
    """Yield the tensors in an operation's result."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (tuple, list)):
        for item in result:
            yield from tensors_in(item)
