"""Cross-entropy of a linear layer's output in chunks, each chunk's gradient written over its logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.fused_linear_cross_entropy import (
    IGNORED,
    FusedLinearCrossEntropyLoss,
    Gradients,
    chunk_rows,
    wide_type,
)
from lorafa_prof.layers.operations import define, wide


def _cross_entropy_(
    logits: Tensor, targets: Tensor, scale: Tensor, loss: Tensor, ignored: int, gradient: bool
) -> None:
    value = wide(logits)
    loss.copy_(F.cross_entropy(value, targets, ignore_index=ignored, reduction="none"))
    if gradient:
        by_logits = value.softmax(-1)
        by_logits[torch.arange(len(targets)), targets.clamp(min=0)] -= 1
        logits.copy_(by_logits * scale.unsqueeze(1))


#: Write each row's loss [n], 0 where the target is `ignored`, and, with `gradient`, `scale` [n] times its
#: gradient over the logits [n, v].
cross_entropy_ = define(
    "cross_entropy_(Tensor(a!) logits, Tensor targets, Tensor scale, Tensor(b!) loss, int ignored, "
    "bool gradient)",
    _cross_entropy_,
    "cross_entropy.cross_entropy_",
)


class PackedLossFunction(torch.autograd.Function):
    """The loss of x [n, h] by weight [v, h] and bias [v] or None; keeps gradients, nothing that is v wide.

    Backward multiplies these gradients in place by the incoming one, so it runs once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        count: Tensor | int,
        with_gradients: bool,
    ) -> Tensor:
        """Return the loss, a scalar; without `with_gradients` no gradient is computed."""
        wanted = [with_gradients and needed for needed in ctx.needs_input_grad[:3]]
        gradients = Gradients(
            x=torch.empty_like(x) if wanted[0] else None,
            weight=torch.zeros_like(weight) if wanted[1] else None,
            bias=torch.zeros_like(bias) if bias is not None and wanted[2] else None,
        )
        loss = x.new_empty(len(x), dtype=wide_type(x))
        scale = (targets != IGNORED).to(loss.dtype) / count
        chunk = chunk_rows(len(x), x.shape[1], len(weight))
        for start in range(0, len(x), chunk):
            rows = slice(start, start + chunk)
            logits = F.linear(x[rows], weight, bias)
            cross_entropy_(logits, targets[rows], scale[rows], loss[rows], IGNORED, any(wanted))
            if any(wanted):
                gradients.add_chunk_(rows, logits, x, weight)
            del logits  # before the next chunk makes its own
        ctx.save_for_backward(gradients.x, gradients.weight, gradients.bias)
        return loss.sum().div_(count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight and bias."""
        x, weight, bias = (None if saved is None else saved.mul_(grad) for saved in ctx.saved_tensors)
        return x, weight, bias, None, None, None


class PackedLoss(FusedLinearCrossEntropyLoss):
    """The loss of a causal language model, by `PackedLossFunction`."""

    function = PackedLossFunction
