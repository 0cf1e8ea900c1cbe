"""Inputs have the shapes, ids and labels that the task wants, and the same values at each call."""

from __future__ import annotations

import pytest
import torch
from tiny_cells import FAMILIES

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.positions import check_seq, max_seq
from lorafa_prof.models.resolve import ResolvedModel, resolve_model

CPU = torch.device("cpu")


def resolved(name: str) -> ResolvedModel:
    return resolve_model(ModelChoice(name=name))


@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_and_types(name: str) -> None:
    inputs = make_inputs(resolved(name), batch=3, seq=17, device=CPU, seed=0)
    assert set(inputs) == {"input_ids", "attention_mask", "labels"}
    assert {tensor.dtype for tensor in inputs.values()} == {torch.int64}
    assert inputs["input_ids"].shape == (3, 17)
    assert inputs["attention_mask"].shape == (3, 17)
    assert inputs["attention_mask"].all()
    expected = (3,) if name == "tiny-roberta" else (3, 17)
    assert inputs["labels"].shape == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_ids_are_ordinary_and_all_of_them_occur(name: str) -> None:
    model = resolved(name)
    config = model.config
    ids = make_inputs(model, batch=64, seq=128, device=CPU, seed=0)["input_ids"]
    special = {getattr(config, f"{kind}_token_id", None) for kind in ("pad", "bos", "eos")} - {None}
    assert special
    assert set(ids.unique().tolist()) == set(range(config.vocab_size)) - special


def test_causal_labels_are_the_ids_in_a_tensor_of_their_own() -> None:
    inputs = make_inputs(resolved("tiny-llama"), batch=2, seq=8, device=CPU, seed=0)
    assert torch.equal(inputs["labels"], inputs["input_ids"])
    assert inputs["labels"].data_ptr() != inputs["input_ids"].data_ptr()


def test_seq2seq_labels_are_ordinary_ids_of_their_own() -> None:
    inputs = make_inputs(resolved("tiny-t5"), batch=4, seq=64, device=CPU, seed=0)
    assert not torch.equal(inputs["labels"], inputs["input_ids"])
    assert inputs["labels"].min() >= 2  # 0 is padding, 1 end of sequence


def test_class_labels_are_in_range() -> None:
    labels = make_inputs(resolved("tiny-roberta"), batch=64, seq=4, device=CPU, seed=0)["labels"]
    assert set(labels.tolist()) == {0, 1}


def test_a_single_label_is_a_regression_target() -> None:
    model = resolved("tiny-roberta")
    model.config.num_labels = 1
    labels = make_inputs(model, batch=4, seq=4, device=CPU, seed=0)["labels"]
    assert labels.shape == (4,)
    assert labels.is_floating_point()


def test_a_seed_gives_the_same_inputs_whatever_was_drawn_before() -> None:
    model = resolved("tiny-llama")
    first = make_inputs(model, batch=2, seq=32, device=CPU, seed=5)["input_ids"]
    torch.rand(3)
    assert torch.equal(first, make_inputs(model, batch=2, seq=32, device=CPU, seed=5)["input_ids"])
    assert not torch.equal(first, make_inputs(model, batch=2, seq=32, device=CPU, seed=6)["input_ids"])


def test_inputs_are_on_the_device() -> None:
    inputs = make_inputs(resolved("tiny-llama"), batch=2, seq=8, device=torch.device("meta"), seed=0)
    assert {tensor.device.type for tensor in inputs.values()} == {"meta"}


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("gpt2", 1024),
        ("roberta-base", 512),
        ("tiny-roberta", 256),
        ("t5-base", None),
        ("llama-2-7b", None),
        ("llama-3.2-1b", None),
        ("qwen2.5-7b", None),
        ("mistral-7b", None),
    ],
)
def test_the_longest_sequence(name: str, limit: int | None) -> None:
    model = resolved(name)
    assert max_seq(model) == limit
    check_seq(model, limit or 1_000_000)
    if limit is not None:
        with pytest.raises(
            UsageError, match=f"seq {limit + 1} is too long for model '{name}'.*{limit} positions"
        ):
            check_seq(model, limit + 1)
