"""Which operations of backward PyTorch runs in place, except under a dispatch mode, which might be looking.

The twin is such a mode, and the GPU's run that it stands for has none, so the twin decides it itself. Where
backward adds up two gradients, the first is added to if nobody else holds it
(torch/csrc/autograd/input_buffer.cpp, can_accumulate_inplace); the gradient of `clamp` combines its two masks
in the first one, and the gradient of what selects by indices is put into zeros
(torch/csrc/autograd/FunctionsManual.cpp: clamp_backward, index_backward, value_selecting_reduction_backward,
gather_backward).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ADD = torch.ops.aten.add.Tensor
AND = torch.ops.aten.logical_and.default
_aten = torch.ops.aten
#: By what a formula of backward calls under a dispatch mode: what it calls where there is none.
IN_PLACE_FORMS = {
    _aten.index_put.default: _aten.index_put_.default,
    _aten.scatter.src: _aten.scatter_.src,
    _aten.scatter_add.default: _aten.scatter_add_.default,
}


def in_place_form(func: Any) -> Any:
    """Return the operation that runs in the place of `func` where no dispatch mode is on."""
    return IN_PLACE_FORMS[func] if func in IN_PLACE_FORMS and in_a_formula_of_backward() else func


def in_place(func: Any, args: Any, kwargs: Any, free: Holders) -> bool:
    """Return whether this writes its result to its first argument where no dispatch mode is on."""
    if not in_a_formula_of_backward():
        return False
    if func is AND:
        return bool(args[0].dtype == torch.bool)
    return is_accumulation(func, args, kwargs) and is_free(args[0], free)


def in_a_formula_of_backward() -> bool:
    """Return whether PyTorch's own formula of a gradient is running, and no forward that is run again."""
    # What checkpointing recomputes in backward runs with gradients enabled.
    return not torch.is_grad_enabled() and torch._C._current_graph_task_id() != -1


def is_accumulation(func: Any, args: Any, kwargs: Any) -> bool:
    """Return whether the autograd engine calls this to add up gradients.

    No formula of a gradient adds two tensors of one shape out of place, so such an addition is the engine's.
    """
    return (
        func is ADD
        and not kwargs
        and isinstance(args[0], Tensor)
        and isinstance(args[1], Tensor)
        and args[0].shape == args[1].shape
    )


@dataclass(frozen=True)
class Holders:
    """The number of references to a tensor and to its storage, as seen from inside a dispatch mode."""

    tensor: int
    storage: int

    @classmethod
    def of(cls, tensor: Tensor) -> Holders:
        """Return the numbers of references that there are now."""
        storage = tensor.untyped_storage()
        counted: Any = tensor
        return cls(int(counted._use_count()), int(_uses(storage._cdata)))


_uses: Any = getattr(torch._C, "_storage_Use_Count")  # noqa: B009 - not in the stubs


class _Count(TorchDispatchMode):
    """A mode that counts the holders of a gradient that only the engine holds."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.holders: Holders | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if in_a_formula_of_backward() and is_accumulation(func, args, kwargs or {}):
            self.holders = Holders.of(args[0])
        return func(*args, **(kwargs or {}))


def holders_of_a_free_gradient() -> Holders:
    """Return the references to a gradient that can be added to in place.

    They are those of the engine and of the machinery in between.
    """
    x = torch.empty(2, device="meta", requires_grad=True)
    with torch.enable_grad(), _Count() as count:
        y = x * 2.0
        (y * 3.0 + y * 5.0).sum().backward()
    holders = count.holders
    assert isinstance(holders, Holders)
    return holders


def is_free(tensor: Tensor, free: Holders) -> bool:
    """Return whether `tensor` has just the references of `free`, and no gaps in memory."""
    return Holders.of(tensor) == free and _is_dense(tensor)


def _is_dense(tensor: Tensor) -> bool:
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True
