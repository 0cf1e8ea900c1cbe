"""Padded batches are those a data collator would make, and the same ones each time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.cell import ModelChoice
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.models.text import padding_tokens

CPU = torch.device("cpu")
TOKENS = [0, 2, 5]  # 16 × 0.3 = 4.8 in the last of three rows, half of it in the second


def resolved(name: str) -> ResolvedModel:
    return resolve_model(ModelChoice(name=name))


def made(model: ResolvedModel, padding: float) -> dict[str, torch.Tensor]:
    return make_inputs(model, batch=3, seq=16, device=CPU, seed=0, padding=padding)


def is_padding() -> torch.Tensor:
    return torch.tensor([[column >= 16 - tokens for column in range(16)] for tokens in TOKENS])


@pytest.mark.parametrize(
    ("padding", "batch", "seq", "tokens"),
    [
        (0.3, 3, 16, TOKENS),
        (0.5, 5, 8, [0, 1, 2, 3, 4]),
        (0.5, 1, 8, [4]),
        (0.0, 3, 8, [0, 0, 0]),
        (0.0, 1, 8, [0]),
        (0.5, 2, 1, [0, 0]),
        (0.5, 3, 2, [0, 0, 1]),  # a half is rounded down
        (0.5, 2, 3, [0, 1]),
        (0.07, 2, 50, [0, 3]),  # 3.5, though a little more in binary
        (0.99, 2, 8, [0, 7]),  # one token stays
    ],
)
def test_rows_are_shorter_one_after_the_other(
    padding: float, batch: int, seq: int, tokens: list[int]
) -> None:
    assert padding_tokens(padding, batch=batch, seq=seq) == tokens


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 9), st.integers(1, 99))
def test_every_row_keeps_a_token_and_the_last_one_has_the_share(padding: float, batch: int, seq: int) -> None:
    tokens = padding_tokens(padding, batch=batch, seq=seq)
    assert tokens == sorted(tokens)
    assert len(tokens) == batch
    assert 0 <= tokens[0] <= tokens[-1] < seq
    assert abs(tokens[-1] - padding * seq) <= 0.5 + 1e-9 or tokens[-1] == seq - 1
    if batch > 1:
        assert tokens[0] == 0


@pytest.mark.parametrize(("name", "pad_id"), [("tiny-roberta", 1), ("tiny-t5", 0)])
def test_padding_is_on_the_right_with_the_configs_id(name: str, pad_id: int) -> None:
    inputs, whole = made(resolved(name), 0.3), made(resolved(name), 0.0)
    assert inputs["attention_mask"].dtype == torch.int64
    assert torch.equal(inputs["attention_mask"], (~is_padding()).long())
    assert torch.equal(inputs["input_ids"], whole["input_ids"].masked_fill(is_padding(), pad_id))


def test_a_causal_model_with_an_id_of_its_own_is_padded_by_it() -> None:
    model = resolved("tiny-llama")
    model.config.pad_token_id = 7
    assert torch.equal(made(model, 0.3)["input_ids"] == 7, is_padding())


@pytest.mark.parametrize("pad_id", [None, -1, 256])
def test_without_an_id_of_the_vocabulary_the_ordinary_ids_stay(pad_id: int | None) -> None:
    model = resolved("tiny-llama")
    model.config.pad_token_id = pad_id
    inputs = made(model, 0.3)
    assert torch.equal(inputs["input_ids"], made(model, 0.0)["input_ids"])
    assert torch.equal(inputs["attention_mask"], (~is_padding()).long())


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-t5"])
def test_padded_labels_are_ignored_by_the_loss(name: str) -> None:
    whole = made(resolved(name), 0.0)["labels"]
    assert torch.equal(made(resolved(name), 0.3)["labels"], whole.masked_fill(is_padding(), -100))


def test_class_labels_are_of_whole_sequences() -> None:
    model = resolved("tiny-roberta")
    assert torch.equal(made(model, 0.3)["labels"], made(model, 0.0)["labels"])


def test_inputs_of_shapes_alone_are_on_their_device() -> None:
    inputs = make_inputs(
        resolved("tiny-t5"), batch=2, seq=8, device=torch.device("meta"), seed=0, padding=0.5
    )
    assert {tensor.device.type for tensor in inputs.values()} == {"meta"}
