"""Random text of a vocabulary's ordinary tokens, and its padding."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.models.resolve import ResolvedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# Their ids are Unicode's numbers of characters.
_READS_CHARACTERS = frozenset({"canine"})


def padding_tokens(padding: float, *, batch: int, seq: int) -> list[int]:
    """Return how many tokens of each row are padding: from none in row 0 to ``padding * seq`` in the last.

    Row i has ``padding * seq * i / (batch - 1)``, rounded, with a half rounded down; a batch of one row has
    as much as the last row of a larger one. At least one token of each row is no padding.
    """
    # As the decimal number that was written: 0.07 * 50 is a little above 3.5 in binary.
    most = Fraction(repr(padding)) * seq
    shares = [Fraction(row, batch - 1) for row in range(batch)] if batch > 1 else [Fraction(1)]
    return [min(math.ceil(most * share - Fraction(1, 2)), seq - 1) for share in shares]


def draw_ids(resolved: ResolvedModel, *, batch: int, seq: int, generator: torch.Generator) -> Tensor:
    """Return random ids of shape (batch, seq), int64, on the CPU.

    None is a special one: padding would shift RoBERTa's positions, and end-of-text cut a sequence short.

    Raises:
        UsageError: the config does not say how many there are.
    """
    ordinary = _ordinary_ids(resolved)
    return ordinary[torch.randint(len(ordinary), (batch, seq), generator=generator)]


def is_padding(padding: float, *, batch: int, seq: int) -> Tensor:
    """Return where padding is, bool of shape (batch, seq): the last `padding_tokens` of each row."""
    tokens = torch.tensor(padding_tokens(padding, batch=batch, seq=seq))
    return torch.arange(seq) >= seq - tokens[:, None]


def pad_ids(resolved: ResolvedModel, ids: Tensor, padded: Tensor) -> None:
    """Put the config's padding id where `padded` is; where it has none the ordinary ids stay."""
    pad_id = _padding_id(resolved.config, _vocabulary(resolved))
    if pad_id is not None:
        ids[padded] = pad_id


def _padding_id(config: PretrainedConfig, vocabulary: int) -> int | None:
    """Return the id of padding; None where the config names none, or one outside of the vocabulary."""
    for source in (config.get_text_config(), config):
        token = getattr(source, "pad_token_id", None)
        if isinstance(token, int) and 0 <= token < vocabulary:
            return token
    return None


def _vocabulary(resolved: ResolvedModel) -> int:
    """Return how many ids there are.

    Raises:
        UsageError: the config does not say.
    """
    config = resolved.config.get_text_config()
    if config.model_type in _READS_CHARACTERS:
        return sys.maxunicode + 1
    size = getattr(config, "vocab_size", None)
    if size is None:
        raise UsageError(
            f"model '{resolved.name}' (type '{config.model_type}') has no vocab_size in its config, so no "
            "text can be made for it",
            about="model",
        )
    return int(size)


def _ordinary_ids(resolved: ResolvedModel) -> Tensor:
    """Return all ids of the vocabulary that no `..._token_id` of the config claims."""
    vocab = _vocabulary(resolved)
    ordinary = torch.ones(vocab, dtype=torch.bool)
    ordinary[[token for token in _special_ids(resolved.config) if 0 <= token < vocab]] = False
    return ordinary.nonzero().squeeze(1)


def _special_ids(config: PretrainedConfig) -> set[int]:
    special: set[int] = set()
    fields = {**config.to_dict(), **config.get_text_config().to_dict()}
    for field, value in fields.items():
        if field.endswith(("_token_id", "_token_index")):
            values = value if isinstance(value, list) else [value]
            special.update(token for token in values if isinstance(token, int))
    return special
