"""What draws a network's weights, PyTorch's functions of `nn.init`, and doing something else instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch import Tensor
from torch.nn import init

#: From a tensor and what else a function of `nn.init` takes to the tensor, written to.
Draw = Callable[..., Any]


def nothing_drawn() -> AbstractContextManager[None]:
    """A context in which new parameters are not initialised, for where only shapes count.

    PEFT draws its adapters on the CPU and only then moves them to the base's meta device: 11 s for each cell
    of Llama-2-7B at rank 256. And newer PyTorch's `trunc_normal_` draws until it likes all the numbers.
    """
    return drawn_by(lambda original: _unchanged)


@contextmanager
def drawn_by(instead_of: Callable[[Draw], Draw]) -> Iterator[None]:
    """A context in which functions of `nn.init` that write to a tensor are what this gives in their place."""
    # transformers has a table of them, filled when it is imported: inside, with those that do nothing.
    from transformers.initialization import TORCH_INIT_FUNCTIONS

    names = [name for name in vars(init) if name.endswith("_") and not name.startswith("_")]
    tables: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (table, {name: table[name] for name in names if name in table})
        for table in (vars(init), TORCH_INIT_FUNCTIONS)
    ]
    try:
        for table, originals in tables:
            table.update({name: instead_of(original) for name, original in originals.items()})
        yield
    finally:
        for table, originals in tables:
            table.update(originals)


def _unchanged(tensor: Tensor, *args: object, **kwargs: object) -> Tensor:
    return tensor
