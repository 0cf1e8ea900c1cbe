"""CUDA graphs on the twin: what is captured takes its memory of a private pool, and a replay takes none.

As torch.cuda.graph does before each capture, the cache is given back first. Up to torch 2.12 the first one
takes two numbers of the random generator, as long as there are graphs (CUDAGeneratorState::register_graph).
Since then a graph takes its own when it first draws, which is not predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.devices.sim.machine import Machine


class TwinGraph:
    """A captured CUDA graph, of which nothing is left to do."""

    def replay(self) -> None:
        """Do nothing."""


def answers_on_graphs(machine: Machine, allocator: CachingAllocator) -> dict[str, Callable[..., Any]]:
    """Return what stands for `torch.cuda`'s graphs, of a device whose memory `allocator` has."""
    generators: list[Tensor] = []

    @contextmanager
    def graph(cuda_graph: TwinGraph, pool: int, stream: Any = None) -> Iterator[None]:
        allocator.empty_cache()
        if machine.graphs_share_generator_state and not generators:
            generators.extend(torch.empty(1, dtype=torch.int64, device="cuda") for _ in range(2))
        with allocator.capturing(pool):
            yield

    return {"CUDAGraph": TwinGraph, "graph_pool_handle": allocator.private_pool, "graph": graph}
