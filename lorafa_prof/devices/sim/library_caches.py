"""What libraries remember of the device they once saw: forgotten when a twin is entered and left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType
from typing import Any

#: Modules whose functions remember what is available.
_MODULES = (
    "transformers.utils.import_utils",
    "accelerate.utils.imports",
    "peft.import_utils",
    "liger_kernel.utils",
)
_DEVICE = frozenset({"cuda", "accelerator"})


@contextmanager
def answers_forgotten() -> Iterator[None]:
    """A context that nothing remembered of a device enters or leaves."""
    _forget()
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    for name in _MODULES:
        if name in sys.modules:
            for function in _asking_for_the_device(name):
                function.cache_clear()


@cache
def _asking_for_the_device(module: str) -> tuple[Any, ...]:
    """Return those functions of `module` that remember their result, and ask for the device.

    A function asks if its code names CUDA, or a function of the module that asks.
    """
    names = {
        name: _names_in(inner.__code__)
        for name, value in vars(sys.modules[module]).items()
        if hasattr(inner := getattr(value, "__wrapped__", value), "__code__")
    }
    asking: set[str] = set()
    while new := {name for name, used in names.items() if used & (_DEVICE | asking)} - asking:
        asking |= new
    functions = (getattr(sys.modules[module], name) for name in sorted(asking))
    return tuple(function for function in functions if hasattr(function, "cache_clear"))


def _names_in(code: CodeType) -> frozenset[str]:
    return frozenset(code.co_names) | {constant for constant in code.co_consts if isinstance(constant, str)}
