"""The kind of a saved tensor in code that is no cell's."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from lorafa_prof.instruments.saved.kinds import LOSS_OPS, SavePoint, kind_of
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.parts import SavedKind

#: Around a step's modules, so that none of them is taken for a model with a loss of its own.
_AROUND = (nn.Module(), nn.Module())


def kind_in_any_code(
    point: SavePoint, shape: tuple[int, ...], dtype: torch.dtype, ranks: frozenset[int]
) -> SavedKind:
    """As `kind_of`, which takes for the loss's whatever a model saves outside of its modules."""
    if point.op not in LOSS_OPS:
        point = replace(point, modules=(*_AROUND, *point.modules))
    innermost = point.modules[-1] if point.modules else None
    if isinstance(innermost, LowRankLinear):
        ranks = frozenset({innermost.rank})
    return kind_of(point, shape, dtype, ranks)
