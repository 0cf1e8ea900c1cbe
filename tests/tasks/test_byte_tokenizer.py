"""The tokenizer of bytes, for models that have none."""

from __future__ import annotations

import pytest

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.byte_tokenizer import ByteTokenizer

BYTES = ByteTokenizer(256)


@pytest.mark.parametrize("text", ["", "ants", "Käse, 奶酪, 🧀\n\0"])
def test_texts_come_back(text: str) -> None:
    tokens = BYTES(text)["input_ids"]
    assert BYTES.decode(tokens) == text
    assert not {BYTES.eos_token_id, BYTES.pad_token_id} & set(tokens)


def test_several_texts_and_pairs() -> None:
    assert BYTES(["a", "bc"])["input_ids"] == [[97], [98, 99]]
    assert BYTES("a", text_pair="b")["input_ids"] == [97, 255, 98]
    assert BYTES(["a", "b"], text_pair=["c", "d"])["input_ids"] == [[97, 255, 99], [98, 255, 100]]


def test_ends_fillings_and_tokens_beyond_bytes_are_no_text() -> None:
    assert BYTES.decode([97, 255, 254, 300, 98]) == "ab"


def test_what_is_no_text_is_marked() -> None:
    assert BYTES.decode([97, 200]) == "a\ufffd"


def test_a_vocabulary_that_is_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="a vocabulary of 255 cannot be given bytes, which take 256"):
        ByteTokenizer(255)
