"""Asking a model about a batch: in evaluation mode, without gradients, with logits, by length."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.errors import UsageError


@contextmanager
def asked(model: nn.Module) -> Iterator[None]:
    """A context in which the model is evaluated; each module is in its own mode again afterwards.

    What fuses the loss with the output layer replaces the forwards of the model and of that layer by ones
    without logits; within, they are the model's own, on the same layers.
    """
    modes = [(module, module.training) for module in model.modules()]
    replaced = [
        (module, module.__dict__.pop("forward"))
        for module in _giving_logits(_inner(model))
        if "forward" in module.__dict__
    ]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, forward in replaced:
            module.__dict__["forward"] = forward
        for module, mode in modes:
            module.training = mode


def batches_by_length(lengths: Sequence[int], batch: int) -> list[list[int]]:
    """Return places of items, `batch` at a time, the longest first: one that does not fit is met at once."""
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    return [order[start : start + batch] for start in range(0, len(order), batch)]


def padded(rows: Sequence[Sequence[int]], fill: int, *, left: bool = False) -> Tensor:
    """Return rows of tokens as one matrix [rows, longest], filled up behind, or in front."""
    longest = max(map(len, rows))
    filled = [[fill] * (longest - len(row)) for row in rows]
    pairs = zip(filled, rows, strict=True)
    return torch.tensor([[*more, *row] if left else [*row, *more] for more, row in pairs])


def last_logits(model: nn.Module, tokens: Tensor, first: int) -> Tensor:
    """Return a causal model's logits [rows, positions from `first` on, vocabulary].

    Rows are filled up behind, which what comes before does not see, so there is no mask.
    """
    kept = tokens.shape[1] - first
    takes = inspect.signature(type(_inner(model)).forward).parameters
    options = {"logits_to_keep": kept} if "logits_to_keep" in takes else {}
    return _logits(model(input_ids=tokens, use_cache=False, **options))[:, -kept:]


def class_logits(model: nn.Module, classes: int, **inputs: Any) -> Tensor:
    """Return a classifier's logits [rows, classes] in float32.

    Raises:
        UsageError: the model has another head.
    """
    logits = _logits(model(**inputs))
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise UsageError(
            f"the task has {classes} classes, and the model's head gives {tuple(logits.shape[1:])} an item; "
            "build it with num_labels of the task's classes"
        )
    return logits.float()


def check_vocabulary(model: nn.Module, rows: Sequence[Sequence[int]]) -> None:
    """Refuse tokens that the model has not; on a GPU they would end the process.

    Raises:
        UsageError: a token is beyond the model's embeddings.
    """
    embeddings: Any = _inner(model).get_input_embeddings()  # type: ignore[operator]
    highest = max((max(row) for row in rows if row), default=0)
    known = getattr(embeddings, "num_embeddings", None)
    if known is not None and highest >= known:
        raise UsageError(
            f"the tokenizer gives token {highest}, and the model has {known}; use the model's own tokenizer"
        )


def write(model: nn.Module, prompts: Tensor, mask: Tensor, **settings: Any) -> Tensor:
    """Return what the model writes after prompts that are filled up in front: [rows, new tokens].

    Raises:
        UsageError: the model writes no text.
    """
    generate: Callable[..., Tensor] | None = getattr(model, "generate", None)
    if generate is None:
        raise UsageError(
            f"a {type(model).__name__} writes no text, which the task asks for; name a causal model"
        )
    written = generate(input_ids=prompts, attention_mask=mask, **settings)
    return written[:, prompts.shape[1] :]


def positions_of(model: nn.Module) -> int | None:
    """Return how many tokens the model can see at once; None where its config does not say."""
    config: Any = getattr(_inner(model), "config", None)
    found = getattr(config.get_text_config() if config else None, "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def _giving_logits(inner: nn.Module) -> list[nn.Module]:
    head = getattr(inner, "get_output_embeddings", lambda: None)()
    return [inner] if head is None else [inner, head]


def _inner(model: nn.Module) -> nn.Module:
    """The model of transformers, which PEFT may have wrapped."""
    from transformers import PreTrainedModel

    return next((module for module in model.modules() if isinstance(module, PreTrainedModel)), model)


def _logits(output: Any) -> Tensor:
    logits: Tensor | None = getattr(output, "logits", None)
    if logits is None:
        raise UsageError(
            "the model gives no logits, so it cannot be asked; set kernels to one that gives them"
        )
    return logits
