"""What a model chooses by numbers that the twin does not know, as a router does experts: taken for even."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.device_tensors import on_shapes

aten = torch.ops.aten

#: Where the dimension stands in the arguments, and what it is if it does not.
_DIMENSION = {aten.topk.default: (2, -1), aten.argmax.default: (1, None), aten.max.dim: (1, None)}


def even_choice(func: Any, args: Any, kwargs: Any, result: Any) -> tuple[Tensor, Tensor] | None:
    """Return the indices that an operation chooses and, on the host, their value if all come equally often.

    Rows take turns: of n numbers the first row chooses 0 to k - 1, the next one k to 2k - 1, modulo n.
    None if the operation chooses nothing along a dimension.
    """
    if func not in _DIMENSION:
        return None
    place, default = _DIMENSION[func]
    dim = args[place] if len(args) > place else kwargs.get("dim", default)
    scores = args[0]
    if dim is None or not scores.dim():
        return None
    indices: Tensor = result if isinstance(result, Tensor) else result[1]
    n, others = scores.size(dim), [size for d, size in enumerate(scores.shape) if d != dim % scores.dim()]
    with on_shapes(False):
        chosen = indices.numel() // max(1, math.prod(others))
        value = torch.arange(indices.numel()).remainder(max(1, n)).view(*others, chosen)
        return indices, value.movedim(-1, dim).reshape(indices.shape)
