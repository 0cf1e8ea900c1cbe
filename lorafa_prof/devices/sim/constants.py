"""Which operations make constants, keep them, or answer of any healthy step the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

_NUMBERS: dict[Any, Callable[[Any], float]] = {
    **{
        func: lambda args: 0.0
        for func in (aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default)
    },
    **{func: lambda args: 1.0 for func in (aten.ones.default, aten.ones_like.default, aten.new_ones.default)},
    aten.scalar_tensor.default: lambda args: args[0],
    aten.full.default: lambda args: args[1],
    aten.full_like.default: lambda args: args[1],
    aten.new_full.default: lambda args: args[2],
}
#: Pointwise, and not tagged so.
_COPIES = frozenset({aten._to_copy.default, aten.clone.default})
_EMPTY = frozenset(
    {
        aten.empty.memory_format,
        aten.empty_like.default,
        aten.empty_strided.default,
        aten.new_empty.default,
        aten.new_empty_strided.default,
    }
)
#: Questions whether something is infinite or not a number.
_NEVER = frozenset({aten.isinf.default, aten.isnan.default, aten.isposinf.default, aten.isneginf.default})


def constant_of(func: Any, args: Any) -> float | None:
    """Return the number that all elements of the operation's result are; None if it is not made of one."""
    number = _NUMBERS.get(func)
    return None if number is None else number(args)


def is_pointwise(func: Any) -> bool:
    """Return whether each element of the result depends on one element of each argument alone."""
    return (torch.Tag.pointwise in func.tags and not is_random(func)) or func in _COPIES


def is_random(func: Any) -> bool:
    """Return whether the result is drawn."""
    return torch.Tag.nondeterministic_seeded in func.tags


def leaves_unknown(func: Any, dtype: torch.dtype) -> bool:
    """Return whether floats that `func` makes have no value, whatever is known: drawn, or not yet written.

    Integers that are drawn are as good as any other's.
    """
    return dtype.is_floating_point and (func in _EMPTY or is_random(func))


def of_a_healthy_step(func: Any, args: Any) -> bool | None:
    """Return the answer for each element if all numbers are finite; None if that is not the question.

    `torch.isfinite` is made of the comparisons: with itself, and of the absolute value with infinity.
    """
    if func in _NEVER:
        return False
    if func in (aten.eq.Tensor, aten.ne.Tensor):
        same = isinstance(args[0], Tensor) and args[0] is args[1] and args[0].is_floating_point()
        return (func is aten.eq.Tensor) if same else None
    if func in (aten.eq.Scalar, aten.ne.Scalar) and args[0].is_floating_point() and args[1] == math.inf:
        return bool(func is aten.ne.Scalar)
    return None


def of_no_zero(func: Any, args: Any) -> bool | None:
    """Return the answer if one number is not zero; None if that is not the question.

    It is asked before dividing by a norm. Of many numbers some may be, as those that are masked.
    """
    if func not in (aten.eq.Scalar, aten.ne.Scalar):
        return None
    of_one = args[0].is_floating_point() and args[0].dim() == 0 and args[1] == 0
    return bool(func is aten.ne.Scalar) if of_one else None
