"""The entries of the kernel table: what an operation allocates on CUDA beyond its results' shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from lorafa_prof.devices.sim.machine import CHECKED_TORCH, Machine
from lorafa_prof.registry import Registry


class Execution(Protocol):
    """The running step, as the model of a kernel sees it."""

    machine: Machine

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run `func` on shapes and give memory to the storages it returns."""

    def born(self, *tensors: Tensor | None) -> None:
        """Give memory to the storages of these tensors, in this order."""

    def take(self, size_bytes: int) -> Any:
        """Take memory for use inside a kernel, and return its block; `give_back` frees it."""

    def give_back(self, *blocks: Any) -> None:
        """Free blocks that `take` returned, in this order."""

    def keep(self, key: str, size_bytes: int) -> None:
        """Take memory that is never given back, at the first call with this `key` in a thread."""

    def use_workspace(self, library: str, size_bytes: int) -> None:
        """Take a library's workspace for a matrix product: kept, or given back, as PyTorch's release does."""

    def value_of(self, tensor: Tensor) -> Tensor | None:
        """Return the value of a tensor, on the host and to be read only; None if it is not known."""

    def learn(self, tensor: Tensor, value: float) -> None:
        """Keep `value` as that of all elements of `tensor`, of any type, until something writes to it."""

    def written(self, *tensors: Tensor) -> None:
        """Note that something unknown is written to the storages of these tensors."""


Model = Callable[[Execution, Any, Any, Any], Any]


@dataclass(frozen=True)
class Kernel:
    """One entry of the kernel table.

    Attributes:
        name: for listings.
        ops: the operations whose memory it models.
        model: runs one of them: takes its memory in the order CUDA does, and returns its results.
        formula: what is allocated beside the results, in words.
        source: the file of PyTorch, or the trace, that this was read in.
        holds_for: versions of PyTorch.
        names: of operations of packages, "package::operation", that are there once a script imports them.
    """

    name: str
    ops: tuple[Any, ...]
    model: Model
    formula: str
    source: str
    holds_for: str = f"torch {CHECKED_TORCH}"
    names: tuple[str, ...] = ()


KERNEL_TABLE: Registry[Kernel] = Registry(
    kind="kernel",
    package="lorafa_prof.devices.sim.kernels",
    attribute="KERNELS",
    group="lorafa_prof.kernels",
    name_of=lambda kernel: kernel.name,
)


class ModelsByOperation(Protocol):
    """Where the model of an operation is looked up."""

    def get(self, op: Any, /) -> Model | None:
        """Return the model of `op`; None if its results are all that it allocates."""


class Models:
    """The models of all operations that the table has, of packages' too once these are imported."""

    def __init__(self) -> None:
        kernels = list(KERNEL_TABLE.values())
        self._by_name = {name: kernel.model for kernel in kernels for name in kernel.names}
        self._by_op: dict[Any, Model | None] = {op: kernel.model for kernel in kernels for op in kernel.ops}

    def get(self, op: Any, /) -> Model | None:
        """Return the model of `op`; None if its results are all that it allocates."""
        if op not in self._by_op:
            self._by_op[op] = self._by_name.get(op.name())
        return self._by_op[op]


def numel_bytes(tensor: Tensor, dtype: torch.dtype | None = None) -> int:
    """Return the bytes of a dense tensor of this shape, in `dtype` or its own type."""
    return tensor.numel() * (dtype or tensor.dtype).itemsize
