"""`checkpointing: attention`: backward runs the attention kernel again, and its output is not kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.recomputing import recomputed
from lorafa_prof.models.replaced import replaced

#: transformers' name of its table of attention functions, in the code of a module that takes one from there.
_TABLE = "ALL_ATTENTION_FUNCTIONS"
#: What in a module may take it: its forward, or the part of it that `models/packed.py` makes.
METHODS = ("forward", "attended")


def recompute_attention(trained: nn.Module) -> None:
    """Make every attention of the model that transformers' table provides be recomputed, whichever it is.

    Raises:
        UsageError: it has none.
    """
    found = [(module, name) for module in trained.modules() for name in METHODS if _calls(module, name)]
    if not found:
        raise UsageError(
            f"checkpointing 'attention' finds none in a {type(trained).__name__} that transformers' table of "
            "attention functions provides; full and offload need none",
            about="checkpointing",
        )
    for module, name in found:
        _recompute(module, name)


def _calls(module: nn.Module, name: str) -> bool:
    method = getattr(module, name, None)
    code = getattr(inspect.unwrap(method), "__code__", None) if callable(method) else None
    return code is not None and _TABLE in code.co_names


def _recompute(module: nn.Module, name: str) -> None:
    method = getattr(module, name)
    get_recomputed = partial(_get_recomputed, ALL_ATTENTION_FUNCTIONS.get_interface)

    def with_recomputed_attention(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with replaced(ALL_ATTENTION_FUNCTIONS, {"get_interface": get_recomputed}):
            return method(*args, **kwargs)

    setattr(module, name, MethodType(with_recomputed_attention, module))


def _get_recomputed(get: Callable[..., Any], name: str, default: Callable[..., Any]) -> Callable[..., Any]:
    return partial(_attend, get(name, default))


def _attend(function: Callable[..., Any], module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Run transformers' attention function of queries, keys, values and a mask."""
    return recomputed(function, module, *args, random=bool(kwargs.get("dropout")), **kwargs)
