"""The collectives of PyTorch, by the operations that they are below autograd."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.utils._pytree import tree_iter

Kind = Literal["all_gather", "reduce_scatter", "all_reduce", "broadcast", "other"]
#: Beginnings of operations' names, of both namespaces (`c10d` has them in place).
_KINDS: dict[str, Kind] = {
    "allgather": "all_gather",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "allreduce": "all_reduce",
    "all_reduce": "all_reduce",
    "broadcast": "broadcast",
}
_NAMESPACES = ("c10d", "_c10d_functional")
#: Of these no rank sends anything: they wait, or wrap.
_SILENT = ("barrier", "monitored_barrier", "wait_tensor", "wrap_tensor")


@dataclass(frozen=True)
class Operation:
    """One collective.

    Attributes:
        nbytes: of the whole tensor: what each rank has after a gather, and before a reduction.
        sent: bytes that a rank sends where each passes on to the next (a ring), as NCCL mostly does it: of
            the whole tensor all but a rank's part, in an all-reduce twice.
    """

    kind: Kind
    nbytes: int
    sent: int


def operation_of(func: Any, args: Any, kwargs: Any, ranks: int) -> Operation | None:
    """Return the collective that an operation is; None if it is none.

    Args:
        func: the operation.
        args, kwargs: its arguments.
        ranks: that take part.
    """
    name = func._opname.lstrip("_")
    if func.namespace not in _NAMESPACES or name.startswith(_SILENT):
        return None
    kind: Kind = next((kind for beginning, kind in _KINDS.items() if name.startswith(beginning)), "other")
    nbytes = _whole_bytes(kind, func.namespace, args, ranks)
    rounds = 2 if kind == "all_reduce" else 1
    return Operation(kind, nbytes, rounds * nbytes * (ranks - 1) // ranks)


def tensors_in(value: Any) -> Iterable[Tensor]:
    """Yield the tensors among arguments."""
    return (item for item in tree_iter(value) if isinstance(item, Tensor))


def _whole_bytes(kind: Kind, namespace: str, args: Any, ranks: int) -> int:
    sizes = [sum(tensor.nbytes for tensor in tensors_in(arg)) for arg in args]
    largest = max(sizes, default=0)
    # In place both sides of a gather are arguments, the larger is the whole; else only what a rank has.
    return largest * ranks if kind == "all_gather" and namespace == "_c10d_functional" else largest
