"""Texts as tokens, and what is done to those that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.task import Tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], **options: Any) -> list[list[int]]:
    """Return the tokens of each text, special ones as the tokenizer adds them."""
    return tokenizer(list(texts), **options)["input_ids"] if texts else []


def encode_prompts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the tokens of texts that go on: with what begins a text and without what ends it."""
    end = tokenizer.eos_token_id
    return [
        tuple(tokens[:-1] if tokens and tokens[-1] == end else tokens) for tokens in encode(tokenizer, texts)
    ]


def encode_answers(tokenizer: Tokenizer, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the tokens of texts that follow a prompt, each encoded once, however often it is there."""
    distinct = list(dict.fromkeys(texts))
    tokens = encode(tokenizer, distinct, add_special_tokens=False)
    of_text = {text: tuple(each) for text, each in zip(distinct, tokens, strict=True)}
    return [of_text[text] for text in texts]


def ended(tokenizer: Tokenizer, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """Return an answer's tokens with the end of a text after them, if the tokenizer has one."""
    return tokens if tokenizer.eos_token_id is None else (*tokens, tokenizer.eos_token_id)


def padding(tokenizer: Tokenizer) -> int:
    """Return a token to fill up a batch with; no loss is taken there."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return token
    return 0


def needed(tokenizer: Tokenizer | None, name: str) -> Tokenizer:
    """Return the tokenizer.

    Raises:
        UsageError: there is none.
    """
    if tokenizer is None:
        raise UsageError(f"task '{name}' is of texts, and the model has no tokenizer")
    return tokenizer


@dataclass(frozen=True)
class Request:
    """What a model is asked about: a context, and texts that may follow it.

    Attributes:
        context: tokens, at least one.
        continuations: tokens of each, at least one.
    """

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    def cut(self, seq: int) -> Request | None:
        """Return it with so much of the context's end as fits with each continuation; None: not a token."""
        room = seq - max(map(len, self.continuations))
        return Request(self.context[-room:], self.continuations) if room > 0 else None
