"""What a causal model writes after prompts: in batches, with its cache of keys and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.asking import batches_by_length, check_vocabulary, padded, positions_of, write
from lorafa_prof.tasks.task import Tokenizer
from lorafa_prof.tasks.tokens import encode_prompts, padding


@dataclass(frozen=True)
class Writing:
    """How texts are written.

    Attributes:
        most_tokens: of a text.
        temperature: 0: the most likely token each time; else tokens are drawn, of the most likely 95 %.
        seed: of the draw.
    """

    most_tokens: int
    temperature: float = 0.0
    seed: int = 0


def written(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    writing: Writing,
    *,
    batch: int,
    device: torch.device,
) -> list[str]:
    """Return what the model writes after each prompt, up to its end of text.

    Args:
        model: causal, within `asked`.
        tokenizer: the model's.
        prompts: of which none is cut.
        writing: how.
        batch: so many at once.
        device: the model's.

    Raises:
        UsageError: the model writes no text, or cannot see a whole prompt.
    """
    encoded = encode_prompts(tokenizer, prompts)
    check_vocabulary(model, encoded)
    settings = _settings(tokenizer, writing)
    seen = positions_of(model)
    texts = [""] * len(prompts)
    with _drawn_by(writing, device):
        for places in batches_by_length([len(each) for each in encoded], batch):
            most = _room(writing.most_tokens, seen, len(encoded[places[0]]))
            tokens = padded([encoded[place] for place in places], padding(tokenizer), left=True)
            mask = padded([[1] * len(encoded[place]) for place in places], 0, left=True)
            new = write(model, tokens.to(device), mask.to(device), max_new_tokens=most, **settings).tolist()
            for place, each in zip(places, new, strict=True):
                text = _to_end(each, tokenizer.eos_token_id)
                texts[place] = tokenizer.decode(text, skip_special_tokens=True)
    return texts


def _room(wanted: int, seen: int | None, longest: int) -> int:
    """How many tokens are written after the longest prompt of a batch, of those that the model can see."""
    room = wanted if seen is None else min(wanted, seen - longest)
    if room < 1:
        raise UsageError(f"the model sees {seen} tokens, and a prompt has {longest}: no room for an answer")
    return room


def _settings(tokenizer: Tokenizer, writing: Writing) -> dict[str, Any]:
    """All that `generate` would else take from the model's own generation_config, which varies."""
    how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if writing.temperature:
        how = {"do_sample": True, "temperature": writing.temperature, "top_p": 0.95, "top_k": 0}
    return {
        **how,
        "use_cache": True,
        "num_beams": 1,
        "repetition_penalty": 1.0,
        "pad_token_id": padding(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
    }


@contextmanager
def _drawn_by(writing: Writing, device: torch.device) -> Iterator[None]:
    """Draws come from the seed, and the run's own generators stay as they are."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(writing.seed)
        yield


def _to_end(tokens: list[int], end: int | None) -> list[int]:
    return tokens[: tokens.index(end)] if end in tokens else tokens
