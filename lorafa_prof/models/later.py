"""What is known of tensors whose values come later, and running what gives them these."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

#: A storage, by its address, and how often all of it was written anew.
Version = tuple[int, int]


#: Gets a whole tensor once it has its values.
Taker = Callable[[Tensor], None]


@dataclass(frozen=True, slots=True)
class Later:
    """A tensor that has no values yet: which part of which storage it is."""

    version: Version
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype

    def part_of(self, whole: Tensor) -> Tensor:
        """Return this part of the storage of `whole`, which has its values by now."""
        if whole.dtype != self.dtype:
            whole = whole.flatten().view(self.dtype)
        if (whole.size(), whole.stride(), whole.storage_offset()) == (self.size, self.stride, self.offset):
            return whole
        return whole.as_strided(self.size, self.stride, self.offset)


@dataclass(frozen=True, slots=True)
class Like:
    """Any tensor of this type, there."""

    dtype: torch.dtype
    device: torch.device

    def tensor(self) -> Tensor:
        """Return one, which has no elements."""
        return torch.empty(0, dtype=self.dtype, device=self.device)


@dataclass(frozen=True, slots=True)
class Call:
    """An operation that is run later, on what its arguments that are `Later` or `Like` are by then."""

    func: Any
    args: Any
    kwargs: Any
    results: list[Any]

    def versions(self) -> Iterator[Version]:
        """Yield what it reads, writes and makes."""
        leaves = tree_leaves((self.args, self.kwargs, self.results))
        return (leaf.version for leaf in leaves if isinstance(leaf, Later))


def run_later(
    calls: deque[Call], takers: Mapping[Version, Iterable[Taker]], blank: Callable[[Version], Tensor]
) -> None:
    """Run `calls` in their order, and hand each whole tensor to its takers after the last one that needs it.

    Args:
        calls: is empty afterwards, so that what they have of the host is gone as soon as it is used.
        takers: by what they take; that is gone after them, unless they keep it.
        blank: makes what nothing has written to yet.
    """
    last = {version: index for index, call in enumerate(calls) for version in call.versions()}
    there: dict[Version, Tensor] = {}
    waiting = dict(takers)
    for index in range(len(calls)):
        call = calls.popleft()
        _run(call, there, blank)
        for version in dict.fromkeys(call.versions()):
            if last[version] == index:
                _hand_out(there.pop(version), waiting.pop(version, ()))
    for version, rest in waiting.items():  # nothing was ever written to them
        _hand_out(blank(version), rest)


def _run(call: Call, there: dict[Version, Tensor], blank: Callable[[Version], Tensor]) -> None:
    def value(of: Later | Like) -> Tensor:
        if isinstance(of, Like):
            return of.tensor()
        if of.version not in there:
            there[of.version] = blank(of.version)
        return of.part_of(there[of.version])

    args, kwargs = tree_map_only((Later, Like), value, (call.args, call.kwargs))
    results = tree_leaves(call.func(*args, **kwargs))
    for later, result in zip(call.results, results, strict=False):  # of a draw none is noted
        if isinstance(later, Later):
            there.setdefault(later.version, result)


def _hand_out(whole: Tensor, takers: Iterable[Taker]) -> None:
    for take in takers:
        take(whole)
