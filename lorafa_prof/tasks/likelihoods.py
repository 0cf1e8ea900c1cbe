"""How likely a causal model holds texts after a context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lorafa_prof.tasks.asking import batches_by_length, check_vocabulary, last_logits, padded
from lorafa_prof.tasks.tokens import Request

#: So many tokens' logits are in float32 at once: with 128k words half a gigabyte.
_AT_ONCE = 1024


@dataclass
class _Line:
    """Tokens that are run through the model once, and what is read off them."""

    context: int
    tokens: tuple[int, ...]
    asked: list[tuple[int, tuple[int, ...]]]


def log_likelihoods(
    model: nn.Module, requests: Sequence[Request], *, batch: int, device: torch.device, fill: int
) -> list[list[float]]:
    """Return the logarithm of each continuation's likelihood, in nats, summed over its tokens in float32.

    Continuations that differ in their last token alone are read off one run of the model, as those that go on
    from each other are. The device is waited for once, at the end.

    Args:
        model: causal, within `asked`.
        requests: none longer than the model can see.
        batch: so many lines run at once.
        device: the model's.
        fill: the token that lines are filled up with.

    Raises:
        UsageError: a token is beyond the model's embeddings.
    """
    found: list[list[float]] = [[0.0] * len(request.continuations) for request in requests]
    lines = [(place, line) for place, request in enumerate(requests) for line in _lines(request)]
    check_vocabulary(model, [request.context for request in requests])
    check_vocabulary(model, [each for request in requests for each in request.continuations])
    owners: list[tuple[int, int]] = []
    losses: list[Tensor] = []
    for places in batches_by_length([len(line.tokens) for _, line in lines], batch):
        some = [lines[place] for place in places]
        losses.append(_token_losses(model, [line for _, line in some], device, fill))
        owners += [(place, number) for place, line in some for number, tokens in line.asked for _ in tokens]
    values = torch.cat(losses).tolist() if losses else []
    for (place, number), loss in zip(owners, values, strict=True):
        found[place][number] -= loss
    return found


def _lines(request: Request) -> list[_Line]:
    """The fewest lines whose tokens contain each continuation but for its last token."""
    lines: list[_Line] = []
    numbered = sorted(enumerate(request.continuations), key=lambda each: -len(each[1]))
    for number, tokens in numbered:
        seen = (*request.context, *tokens[:-1])
        line = next((line for line in lines if line.tokens[: len(seen)] == seen), None)
        if line is None:
            line = _Line(len(request.context), seen, [])
            lines.append(line)
        line.asked.append((number, tokens))
    return lines


def _token_losses(model: nn.Module, lines: Sequence[_Line], device: torch.device, fill: int) -> Tensor:
    """The loss of each asked token, in float32, line by line and in the order of `asked`."""
    first = min(line.context for line in lines) - 1
    rows: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    for row, line in enumerate(lines):
        for _, tokens in line.asked:
            rows += [row] * len(tokens)
            positions += range(line.context - 1 - first, line.context - 1 - first + len(tokens))
            targets += tokens
    logits = last_logits(model, padded([line.tokens for line in lines], fill).to(device), first)
    where = torch.tensor([rows, positions, targets]).to(device).split(_AT_ONCE, dim=1)
    losses = [
        functional.cross_entropy(logits[row, position].float(), target, reduction="none")
        for row, position, target in where
    ]
    return torch.cat(losses)
