"""A tokenizer for models with random weights that come without one: a token is a byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lorafa_prof.errors import UsageError

_BYTES = 256


class ByteTokenizer:
    """Texts as their UTF-8 bytes. Two that UTF-8 never has end a text (255) and fill up a batch (254).

    Args:
        vocab_size: how many tokens the model has.

    Raises:
        UsageError: that is fewer than 256.
    """

    eos_token_id: int = 255
    pad_token_id: int = 254

    def __init__(self, vocab_size: int) -> None:
        if vocab_size < _BYTES:
            raise UsageError(
                f"a model with a vocabulary of {vocab_size} cannot be given bytes, which take {_BYTES}; "
                "name a model with a larger one, or with a tokenizer"
            )

    def __call__(self, text: str | list[str], **options: Any) -> dict[str, Any]:
        """Return ``input_ids``: of a text its bytes, of several a list of those of each.

        Args:
            text: one or several.
            options: `text_pair`, a text or as many, follows after an end of text; others change nothing here.
        """
        pair = options.get("text_pair")
        if isinstance(text, str):
            return {"input_ids": self._encode(text, pair)}
        pairs = pair or [None] * len(text)
        return {"input_ids": [self._encode(*each) for each in zip(text, pairs, strict=True)]}

    def decode(self, token_ids: Sequence[int], **options: Any) -> str:
        """Return the text of tokens without ends and fillings; what is no UTF-8 becomes U+FFFD."""
        text = bytes(token for token in token_ids if token < self.pad_token_id)
        return text.decode("utf-8", errors="replace")

    def _encode(self, text: str, pair: str | None) -> list[int]:
        tokens = list(text.encode("utf-8"))
        return tokens if pair is None else [*tokens, self.eos_token_id, *pair.encode("utf-8")]
