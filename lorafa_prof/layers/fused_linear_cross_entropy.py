"""Cross-entropy of a linear layer's output, chunk by chunk, so that the logits never exist all at once.

For hidden states x [n, h], weight W [v, h], bias [v] or None, and targets t [n], `IGNORED` where none counts:

    loss = Σ (log Σ exp(z) − z[t]) / count    with the logits z = x Wᵀ + bias

As in Liger's kernel of this name (arXiv 2410.10989) a chunk's gradient is formed in forward, right after its
loss, where its logits still are. Kept for backward are gradients as large as x (and as W, if W trains) in the
place of n × v log-probabilities in float32. Liger's is written in Triton; this is PyTorch's own operations,
so it runs on the CPU and on shapes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.autocast_type import in_autocast_type

#: Target of a token that does not count, as in PyTorch and transformers.
IGNORED = -100


@dataclass(frozen=True)
class Gradients:
    """Gradients of the loss by x, by weight and by bias; None for those that are not needed."""

    x: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    @classmethod
    def wanted(
        cls, ctx: Any, with_gradients: bool, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Gradients:
        """Return room for those that autograd asks of a function whose first arguments these are."""
        of_x, of_weight, of_bias = (with_gradients and needed for needed in ctx.needs_input_grad[:3])
        return cls(
            x=x.new_empty(x.shape) if of_x else None,
            weight=torch.zeros_like(weight) if of_weight else None,
            bias=torch.zeros_like(bias) if bias is not None and of_bias else None,
        )

    def __bool__(self) -> bool:
        return any(gradient is not None for gradient in (self.x, self.weight, self.bias))

    def add_chunk_(self, rows: slice, by_logits: Tensor, x: Tensor, weight: Tensor) -> None:
        """Write the gradient of x in `rows`, and add those rows' part to the gradients of weight and bias.

        `by_logits` [rows, v] is the gradient of the loss by the logits of these rows.
        """
        if self.x is not None:
            self.x[rows].addmm_(by_logits, weight, beta=0)
        if self.weight is not None:
            self.weight.addmm_(by_logits.t(), x[rows])
        if self.bias is not None:
            self.bias.add_(by_logits.sum(0))


def chunk_rows(rows: int, width: int, vocabulary: int) -> int:
    """Return how many rows of x [rows, width] make a chunk, by the rule of Liger's kernel.

    A chunk's logits are about as large as all of x; the number is rounded up to a power of two.
    """
    chunks = -(-vocabulary // width)
    return 1 << (-(-rows // chunks) - 1).bit_length()


def wide_type(x: Tensor) -> torch.dtype:
    """Return the type in which softmax, loss and norms are computed: float32, or float64 where x has it."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def chunk_log_probabilities(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return log-probabilities [rows, v] of x [rows, h]; nothing else as large is left."""
    return F.log_softmax(F.linear(x, weight, bias).to(wide_type(x)), dim=-1)


def logits_gradient_(log_probabilities: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    """Turn log-probabilities [rows, v] into the gradient of the loss by the logits, in place.

    `scale` [rows] is 1 / count, and 0 for a row that does not count.
    """
    rows = torch.arange(len(targets), device=targets.device)
    correct = targets.clamp(min=0)  # IGNORED is no place in a row; what is written there is scaled to 0
    gradient = log_probabilities.exp_()
    gradient[rows, correct] = gradient[rows, correct] - 1
    return gradient.mul_(scale.unsqueeze(1))


class FusedLinearCrossEntropyFunction(torch.autograd.Function):
    """The loss of the module's formula; holds the gradients that are needed for backward, and nothing else.

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
        gradients = Gradients.wanted(ctx, with_gradients, x, weight, bias)
        scale = (targets != IGNORED).to(wide_type(x)) / count

        def chunk_loss(rows: slice) -> Tensor:
            # What a chunk makes is gone when this returns: before the next one makes its own.
            log_probabilities = chunk_log_probabilities(x[rows], weight, bias)
            loss = F.nll_loss(log_probabilities, targets[rows], ignore_index=IGNORED, reduction="sum")
            if gradients:
                by_logits = logits_gradient_(log_probabilities, targets[rows], scale[rows]).to(x.dtype)
                gradients.add_chunk_(rows, by_logits, x, weight)
            return loss

        loss = x.new_zeros((), dtype=wide_type(x))
        chunk = chunk_rows(len(x), x.shape[1], len(weight))
        for start in range(0, len(x), chunk):
            loss.add_(chunk_loss(slice(start, start + chunk)))
        ctx.save_for_backward(gradients.x, gradients.weight, gradients.bias)
        return loss.div_(count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight and bias."""
        x, weight, bias = (None if saved is None else saved.mul_(grad) for saved in ctx.saved_tensors)
        return x, weight, bias, None, None, None


class FusedLinearCrossEntropyLoss(nn.Module):
    """The loss of a causal language model, from its last hidden states and its output layer's weights.

    Attributes:
        function: the autograd function that computes it.
    """

    function: ClassVar[type[torch.autograd.Function]] = FusedLinearCrossEntropyFunction

    def forward(
        self,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the mean over the tokens that count, or the sum over them / `num_items_in_batch`.

        Args:
            hidden: [batch, seq, h].
            weight, bias: [v, h] and [v] of the output layer.
            labels: [batch, seq], `IGNORED` where none counts; each token's target is the next one's label.
            num_items_in_batch: tokens that count in all micro-batches, where gradients accumulate.
        """
        targets = F.pad(labels, (0, 1), value=IGNORED)[:, 1:].reshape(-1)
        count = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        x, weight = in_autocast_type(hidden), in_autocast_type(weight)
        bias = None if bias is None else in_autocast_type(bias)
        loss = self.function.apply(
            x.reshape(-1, x.shape[-1]), weight, bias, targets, count, torch.is_grad_enabled()
        )
        return cast(Tensor, loss)
