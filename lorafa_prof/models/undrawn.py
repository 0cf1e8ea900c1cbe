"""Building a network without drawing its random weights, where only shapes count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn import init


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """A context in which new parameters are not initialised: PyTorch's functions of `nn.init` do nothing.

    PEFT draws its adapters on the CPU and only then moves them to the base's meta device: 11 s for each cell
    of Llama-2-7B at rank 256. And newer PyTorch's `trunc_normal_` draws until it likes all the numbers.
    """
    # transformers has a table of them, filled when it is imported: inside, with those that do nothing.
    from transformers.initialization import TORCH_INIT_FUNCTIONS

    names = [name for name in vars(init) if name.endswith("_") and not name.startswith("_")]
    tables = [
        (table, {name: table[name] for name in names if name in table})
        for table in (vars(init), TORCH_INIT_FUNCTIONS)
    ]
    try:
        for table, originals in tables:
            table.update(dict.fromkeys(originals, _unchanged))
        yield
    finally:
        for table, originals in tables:
            table.update(originals)


def _unchanged(tensor: Tensor, *args: object, **kwargs: object) -> Tensor:
    return tensor
