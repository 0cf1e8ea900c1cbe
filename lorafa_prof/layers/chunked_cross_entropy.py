"""Cross-entropy of what a head makes of hidden states, a chunk of tokens at a time, whatever the head is.

A chunk has so few tokens that their logits in float32 take no more than `LOGITS_BYTES`, whatever the
vocabulary and the number of tokens. As in `fused_linear_cross_entropy` a chunk's gradient is formed in
forward, where its logits still are: kept for backward are gradients as large as the hidden states, and as the
head's parameters that train. The head is called as it is, adapters and what a model does to its logits
included, and autograd finds its gradients; those of parameters are added up in float32 if they are narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lorafa_prof.layers.fused_linear_cross_entropy import logits_gradient_, wide_type

#: Logits that exist at once, in float32; what is computed of them takes as much a few times more.
LOGITS_BYTES = 256 << 20

#: Gives logits [rows, v] of hidden states [rows, h].
LogitsOf = Callable[[Tensor], Tensor]


def rows_of_a_chunk(vocabulary: int) -> int:
    """Return how many tokens make a chunk: a power of two, at least one."""
    most = max(1, LOGITS_BYTES // (torch.float32.itemsize * vocabulary))
    return 1 << (most.bit_length() - 1)


@dataclass(frozen=True)
class Question:
    """What is asked of hidden states.

    Attributes:
        logits_of: the head, and what is done to its logits number by number.
        vocabulary: v.
        targets: [n], `ignored` where none counts.
        ignored: the target of a token that does not count.
        count: what the sum of the losses is divided by.
        with_gradients: whether gradients are asked for at all.
    """

    logits_of: LogitsOf
    vocabulary: int
    targets: Tensor
    ignored: int
    count: Tensor | int
    with_gradients: bool


class ChunkedCrossEntropyFunction(torch.autograd.Function):
    """The loss of hidden states [n, h]; holds the gradients that are needed for backward, and nothing else.

    Backward multiplies these gradients in place by the incoming one, so it runs once. Until then that of the
    hidden states is of the sum of the losses, not of their mean: in float16 that would be too small where the
    loss is scaled, and forward does not know by what.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, question: Question, *parameters: nn.Parameter) -> Tensor:
        """Return the loss, a scalar in float32, or in float64 where the logits are.

        `parameters` are those of `logits_of` that train.
        """
        wanted = ctx.needs_input_grad[0] and question.with_gradients
        by_hidden = torch.empty_like(hidden) if wanted else None
        by_parameters = [
            torch.zeros_like(p, dtype=wide_type(p)) for p in parameters if question.with_gradients
        ]
        targets, ignored = question.targets, question.ignored
        counts = (targets != ignored).to(wide_type(hidden))

        def chunk_loss(rows: slice) -> Tensor:
            # What a chunk makes is gone when this returns: before the next one makes its own.
            x = hidden[rows].detach().requires_grad_(wanted)
            with torch.set_grad_enabled(question.with_gradients):
                logits = question.logits_of(x)
            log_probabilities = F.log_softmax(logits.detach().to(wide_type(logits)), dim=-1)
            loss = F.nll_loss(log_probabilities, targets[rows], ignore_index=ignored, reduction="sum")
            if logits.requires_grad:
                by_logits = logits_gradient_(log_probabilities, targets[rows], counts[rows]).to(logits.dtype)
                inputs = [*([x] if wanted else []), *parameters]
                found = list(torch.autograd.grad(logits, inputs, by_logits, allow_unused=True))
                if by_hidden is not None:
                    by_hidden[rows] = found.pop(0)
                for total, part in zip(by_parameters, found, strict=True):
                    if part is not None:
                        total.add_(part)
            return loss

        chunk = rows_of_a_chunk(question.vocabulary)
        loss = chunk_loss(slice(0, chunk))
        for start in range(chunk, len(hidden), chunk):
            loss.add_(chunk_loss(slice(start, start + chunk)))
        narrow = [
            total.div_(question.count).to(p.dtype)
            for total, p in zip(by_parameters, parameters, strict=False)
        ]
        ctx.save_for_backward(by_hidden, *narrow)
        ctx.count = question.count
        return loss.div_(question.count)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the hidden states and of the parameters."""
        by_hidden, *by_parameters = ctx.saved_tensors
        if by_hidden is not None:
            by_hidden.mul_(grad / ctx.count)
        return by_hidden, None, *(by_parameter.mul_(grad) for by_parameter in by_parameters)


class ChunkedCrossEntropy(nn.Module):
    """PyTorch's `cross_entropy` of logits that are made a chunk at a time."""

    def forward(
        self,
        hidden: Tensor,
        targets: Tensor,
        logits_of: LogitsOf,
        parameters: Sequence[nn.Parameter],
        vocabulary: int,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the mean loss over the tokens that count, or the sum.

        Args:
            hidden: [n, h].
            targets: [n].
            logits_of: see `Question`.
            parameters: those that `logits_of` trains.
            vocabulary: v.
            ignore_index: the target of a token that does not count.
            reduction: "mean" or "sum".
        """
        count = (targets != ignore_index).sum() if reduction == "mean" else 1
        question = Question(
            logits_of, vocabulary, targets, ignore_index, count, with_gradients=torch.is_grad_enabled()
        )
        loss = ChunkedCrossEntropyFunction.apply(hidden, question, *parameters)  # type: ignore[no-untyped-call]
        return cast(Tensor, loss)
