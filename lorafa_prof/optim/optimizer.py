"""The type that every optimizer a scenario can name is an object of, and the registry of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim import Optimizer

from lorafa_prof.cell import Cell
from lorafa_prof.registry import Registry

LEARNING_RATE = 1e-4

MakeOptimizer = Callable[[list[torch.nn.Parameter]], Optimizer]


def refuses_nothing(cell: Cell) -> str:
    """Return an empty string: the optimizer runs wherever a step does."""
    del cell
    return ""


@dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer as people run it.

    Attributes:
        name: its name in a scenario.
        summary: one line for `lorafa-prof list`.
        make: makes it over the parameters it is given, all of which train. On shapes it makes the same
            allocations as on a GPU. Raises UsageError if it cannot train these parameters.
        refuses: says in words why the optimizer cannot run in a cell, and what to do; empty if it can.
        shards: whether it can update parameters of which each rank has its rows (`parallel: fsdp2`).
    """

    name: str
    summary: str
    make: MakeOptimizer
    refuses: Callable[[Cell], str] = refuses_nothing
    shards: bool = True


OPTIMIZERS: Registry[OptimizerChoice] = Registry(
    kind="optimizer",
    package="lorafa_prof.optim",
    attribute="OPTIMIZERS_HERE",
    group="lorafa_prof.optimizers",
    name_of=lambda choice: choice.name,
)
