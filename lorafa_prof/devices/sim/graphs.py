"""CUDA graphs on the twin: what is captured takes its memory of a private pool, and a replay takes none.

As torch.cuda.graph does before each capture, the cache is given back first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.devices.sim.blocks import PoolPair


class TwinGraph:
    """A captured CUDA graph, of which nothing is left to do."""

    def replay(self) -> None:
        """Do nothing."""


def answers_on_graphs(allocator: CachingAllocator) -> dict[str, Callable[..., Any]]:
    """Return what stands for `torch.cuda`'s graphs, of a device whose memory `allocator` has."""

    @contextmanager
    def graph(cuda_graph: TwinGraph, pool: PoolPair, stream: Any = None) -> Iterator[None]:
        allocator.empty_cache()
        with allocator.capturing(pool):
            yield

    return {"CUDAGraph": TwinGraph, "graph_pool_handle": allocator.private_pool, "graph": graph}
