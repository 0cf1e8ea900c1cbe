"""Which ranks of a sharded model are alike: they have as many rows of each parameter."""

from __future__ import annotations

from itertools import groupby

from torch import nn
from torch.distributed.tensor import DTensor


def alike_ranks(model: nn.Module, ranks: int) -> list[range]:
    """Return groups of ranks that are alike, in order; one of all ranks where nothing is sharded.

    FSDP2 gives each rank as many rows as the first, as long as there are any: the last ones have fewer.
    """
    lengths = {parameter.shape[0] for parameter in model.parameters() if isinstance(parameter, DTensor)}
    groups = groupby(range(ranks), key=lambda rank: [_rows(length, ranks, rank) for length in lengths])
    return [range(first := next(same), first + 1 + sum(1 for _ in same)) for _, same in groups]


def _rows(length: int, ranks: int, rank: int) -> int:
    """Return how many of `length` rows a rank has (torch.chunk)."""
    at_most = -(-length // ranks)
    return min(max(length - rank * at_most, 0), at_most)
