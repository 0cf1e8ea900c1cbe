"""Cross-entropy of a linear layer's output in chunks, each chunk's gradient written over its logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.fused_linear_cross_entropy import IGNORED, chunk_rows
from lorafa_prof.layers.packed.operations import define, wide


def _cross_entropy_(
    logits: Tensor, targets: Tensor, scale: Tensor, loss: Tensor, ignored: int, gradient: bool
) -> None:
    value = wide(logits)
    loss.copy_(F.cross_entropy(value, targets, ignore_index=ignored, reduction="none"))
    if gradient:
        by_logits = value.softmax(-1)
        by_logits[torch.arange(len(targets)), targets.clamp(min=0)] -= 1
        logits.copy_(by_logits * scale.unsqueeze(1))


def _by_triton(*args: Any) -> None:
    from lorafa_prof.layers.triton_kernels import cross_entropy as kernels

    kernels.cross_entropy_(*args)


#: Write each row's loss [n], 0 where the target is `ignored`, and, with `gradient`, `scale` [n] times its gradient over
#: the logits [n, v].
cross_entropy_ = define(
    "cross_entropy_(Tensor(a!) logits, Tensor targets, Tensor scale, Tensor(b!) loss, int ignored, bool gradient)",
    _cross_entropy_,
    _by_triton,
)


class PackedLossFunction(torch.autograd.Function):
    """The loss of x [n, h] by frozen or trained weight [v, h]; keeps gradients, nothing as wide as v."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, count: Tensor | int, with_gradients: bool
    ) -> Tensor:
        """Return the loss, a scalar."""
        wanted = [with_gradients and needed for needed in ctx.needs_input_grad[:2]]
        grad_x = torch.empty_like(x) if wanted[0] else None
        grad_weight = torch.zeros_like(weight) if wanted[1] else None
        loss = x.new_empty(len(x), dtype=wide(x.new_empty(0)).dtype)
        scale = (targets != IGNORED).to(loss.dtype) / count
        chunk = chunk_rows(len(x), x.shape[1], len(weight))
        for start in range(0, len(x), chunk):
            rows = slice(start, start + chunk)
            logits = torch.mm(x[rows], weight.t())
            cross_entropy_(logits, targets[rows], scale[rows], loss[rows], IGNORED, any(wanted))
            if grad_x is not None:
                torch.mm(logits, weight, out=grad_x[rows])
            if grad_weight is not None:
                grad_weight.addmm_(logits.t(), x[rows])
            del logits
        ctx.save_for_backward(grad_x, grad_weight)
        return loss.sum().div_(count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x and weight."""
        grad_x, grad_weight = (None if saved is None else saved.mul_(grad) for saved in ctx.saved_tensors)
        return grad_x, grad_weight, None, None, None
