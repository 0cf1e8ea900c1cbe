"""Models so small that a core asks them in no time, and their answers found item by item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from lorafa_prof.cell import ModelChoice
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.tasks.byte_tokenizer import ByteTokenizer

CPU = torch.device("cpu")
BYTES = ByteTokenizer(256)


def small_model(name: str = "tiny-llama", **config: Any) -> Any:
    resolved = resolve_model(ModelChoice(name=name))
    for key, value in config.items():
        setattr(resolved.config, key, value)
    return build_model(resolved, device=CPU, dtype=torch.float32, attention="sdpa", checkpointing="none")


def log_likelihood(model: nn.Module, context: Sequence[int], continuation: Sequence[int]) -> float:
    """Of one continuation, in float64, by the plainest forward there is."""
    tokens = torch.tensor([[*context, *continuation]])
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=tokens).logits[0].double()
    model.train()
    chances = logits.log_softmax(dim=-1)
    first = len(context) - 1
    return sum(float(chances[first + place, token]) for place, token in enumerate(continuation))


def greedily_written(model: nn.Module, prompt: Sequence[int], most: int, end: int) -> list[int]:
    """Token by token, without a cache, without other items beside it."""
    tokens = list(prompt)
    model.eval()
    while len(tokens) < len(prompt) + most:
        with torch.no_grad():
            chosen = int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
        if chosen == end:
            break
        tokens.append(chosen)
    model.train()
    return tokens[len(prompt) :]
