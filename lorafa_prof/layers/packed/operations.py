"""How the operations of packed layers are defined: by reference on the CPU, by Triton on CUDA, of no memory.

Every operation writes to tensors that it is given, so that what it needs is seen where it is called; the twin
runs it on shapes, where it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("lorafa_prof", "FRAGMENT")


def define(schema: str, reference: Callable[..., None], by_triton: Callable[..., None]) -> Any:
    """Return the operation of this schema, whose `by_triton` may import Triton when it is first called."""
    name = schema.partition("(")[0]
    _LIBRARY.define(f"{schema} -> ()")
    _LIBRARY.impl(name, reference, "CPU")
    _LIBRARY.impl(name, by_triton, "CUDA")
    _LIBRARY.impl(name, _nothing, "Meta")
    return getattr(torch.ops.lorafa_prof, name)


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


def wide(x: Tensor) -> Tensor:
    """Return x in the type that kernels compute in: float32, or float64 where x has it."""
    return x if x.dtype == torch.float64 else x.float()
