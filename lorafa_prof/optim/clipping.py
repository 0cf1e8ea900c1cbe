"""Clipping gradients by their common norm, with the same kernels wherever the step runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_


def clip_gradients(params: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale the gradients of those of `params` that train so that their norm is at most `max_norm`."""
    trained = [param for param in params if param.requires_grad]
    if any(param.is_meta for param in trained):
        _clip_shapes([param.grad for param in trained if param.grad is not None], max_norm)
    else:
        # PyTorch chooses the same by itself; set on CUDA, so that it never quietly becomes the slow way.
        foreach = True if any(param.is_cuda for param in trained) else None
        clip_grad_norm_(trained, max_norm, foreach=foreach)


@torch.no_grad()
def _clip_shapes(grads: Sequence[Tensor], max_norm: float) -> None:
    """Clip by PyTorch's foreach way, with its operations and lifetimes; PyTorch itself refuses it on meta.

    What PyTorch does there instead, norming and scaling each gradient by itself, a CUDA device does not do.
    As in `torch/nn/utils/clip_grad.py` the norms are gone when the scale is made, and that outlives its use.
    """
    if not grads:
        return
    groups: defaultdict[torch.dtype, list[Tensor]] = defaultdict(list)
    for grad in grads:
        groups[grad.dtype].append(grad)
    total = _total_norm(groups.values())
    scale: Tensor = max_norm / (total + 1e-6)
    at_most_one = torch.clamp(scale, max=1.0)
    for group in groups.values():
        torch._foreach_mul_(group, at_most_one)


def _total_norm(groups: Iterable[list[Tensor]]) -> Tensor:
    norms: list[Tensor] = []
    for group in groups:
        norms.extend(torch._foreach_norm(group, 2.0))
    total: Tensor = torch.linalg.vector_norm(torch.stack(norms), 2.0)
    return total
