"""Cross-entropy of a linear layer's output in chunks, each chunk's gradient written over its logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafa_prof.layers.fused_linear_cross_entropy import (
    IGNORED,
    FusedLinearCrossEntropyFunction,
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


class PackedLossFunction(FusedLinearCrossEntropyFunction):
    """The loss of x [n, h] by weight [v, h] and bias [v] or None; keeps gradients, nothing that is v wide.

    Backward is that of the fused loss.
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
        gradients = Gradients.wanted(ctx, with_gradients, x, weight, bias)
        loss = x.new_empty(len(x), dtype=wide_type(x))
        scale = (targets != IGNORED).to(loss.dtype) / count
        chunk = chunk_rows(len(x), x.shape[1], len(weight))
        for start in range(0, len(x), chunk):
            rows = slice(start, start + chunk)
            logits = F.linear(x[rows], weight, bias)
            cross_entropy_(logits, targets[rows], scale[rows], loss[rows], IGNORED, bool(gradients))
            if gradients:
                gradients.add_chunk_(rows, logits, x, weight)
            del logits  # before the next chunk makes its own
        ctx.save_for_backward(gradients.x, gradients.weight, gradients.bias)
        return loss.sum().div_(count)


class PackedLoss(FusedLinearCrossEntropyLoss):
    """The loss of a causal language model, by `PackedLossFunction`."""

    function = PackedLossFunction
