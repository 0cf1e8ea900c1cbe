"""What forward computed, computed again in backward: in PyTorch's checkpoint, or in a function's backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from torch.utils.checkpoint import checkpoint

_recomputing = ContextVar("recomputing", default=False)


@contextmanager
def recomputing() -> Iterator[None]:
    """A context in which operations are told to be forward's, run again."""
    token = _recomputing.set(True)
    try:
        yield
    finally:
        _recomputing.reset(token)


def is_recomputing() -> bool:
    """Return whether what runs is forward's, run again."""
    return _recomputing.get()


def recomputed(function: Callable[..., Any], *args: Any, random: bool = True, **kwargs: Any) -> Any:
    """Return what `function` returns, and keep for backward only its tensors among `args`, not what it saves.

    Backward runs it again, up to the last tensor that it saved, when the first of these is asked for.

    Args:
        function: of tensors, without side effects.
        args: for `function`.
        random: whether it may draw random numbers; if so, the generators' states are kept.
        kwargs: for `function`; what is in them is kept as it is.
    """
    return checkpoint(
        function, *args, use_reentrant=False, preserve_rng_state=random, context_fn=_contexts, **kwargs
    )


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), recomputing()
