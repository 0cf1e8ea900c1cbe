"""How operations of our own are defined: by reference on the CPU, by Triton on CUDA, and of no memory.

Every operation writes to tensors that it is given, so that what it needs is seen where it is called; the twin
runs it on shapes, where it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("lorafa_prof", "FRAGMENT")
#: By an operation's name: what launches it on CUDA, as "file.function" of `layers/triton_kernels/`.
KERNELS: dict[str, str] = {}


def define(schema: str, reference: Callable[..., None], kernel: str) -> Any:
    """Return the operation of this schema, whose arguments both take.

    Args:
        schema: name and arguments.
        reference: what runs on the CPU.
        kernel: what launches it on CUDA, as in `KERNELS`; imported, and Triton with it, when it first runs.
    """
    name = schema.partition("(")[0]
    _LIBRARY.define(f"{schema} -> ()")
    _LIBRARY.impl(name, reference, "CPU")
    _LIBRARY.impl(name, launching(kernel), "CUDA")
    _LIBRARY.impl(name, _nothing, "Meta")
    KERNELS[name] = kernel
    return getattr(torch.ops.lorafa_prof, name)


def launching(kernel: str) -> Callable[..., None]:
    """Return what launches this one of `KERNELS`' values."""
    file, function = kernel.split(".")

    @cache
    def imported() -> Callable[..., None]:
        module = import_module(f"lorafa_prof.layers.triton_kernels.{file}")
        return cast(Callable[..., None], getattr(module, function))

    def launch(*args: Any) -> None:
        imported()(*args)

    return launch


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


def wide(x: Tensor) -> Tensor:
    """Return x in the type that kernels compute in: float32, or float64 where x has it."""
    return x if x.dtype == torch.float64 else x.float()
