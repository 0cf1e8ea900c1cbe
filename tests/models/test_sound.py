"""Spectra and labels of a model of speech are those of its config."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PretrainedConfig, Speech2TextConfig, WhisperConfig

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.positions import check_seq, default_seq, tokens_beside_seq
from lorafa_prof.models.resolve import ResolvedModel, resolve_model

CPU = torch.device("cpu")


def whisper() -> ResolvedModel:
    return resolve_model(ModelChoice(name="tiny-whisper"))


def test_spectra_fill_the_encoder_and_labels_are_text() -> None:
    inputs = make_inputs(whisper(), batch=3, seq=5, device=CPU, seed=0, dtype=torch.bfloat16)
    assert {name: (tuple(t.shape), t.dtype) for name, t in inputs.items()} == {
        "input_features": ((3, 16, 48), torch.bfloat16),
        "labels": ((3, 5), torch.int64),
    }
    assert tokens_beside_seq(whisper()) == 24


def test_padding_is_of_labels() -> None:
    inputs: dict[str, Any] = {"batch": 2, "seq": 8, "device": CPU, "seed": 0}
    padded, full = make_inputs(whisper(), padding=0.5, **inputs), make_inputs(whisper(), **inputs)
    assert padded["labels"][1, 4:].tolist() == [-100] * 4
    assert torch.equal(padded["labels"][1, :4], full["labels"][1, :4])
    assert torch.equal(padded["labels"][0], full["labels"][0])
    assert torch.equal(padded["input_features"], full["input_features"])


def test_text_has_the_decoders_positions() -> None:
    large = resolve_model(ModelChoice(name="whisper-large-v3"))
    assert default_seq(large) == 448
    assert tokens_beside_seq(large) == 1500
    with pytest.raises(UsageError, match=r"seq 449 is too long .* it has 448 positions"):
        check_seq(large, 449)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            Speech2TextConfig(),
            r"type 'speech_to_text'.: .* as it takes it; known is that of whisper",
        ),
        (
            WhisperConfig(max_source_positions=0),
            "as it takes it; max_source_positions is 0",
        ),
        (WhisperConfig(num_mel_bins=0), "as it takes it; num_mel_bins is 0"),
    ],
)
def test_what_is_not_known_is_one_line(config: PretrainedConfig, line: str) -> None:
    resolved = ResolvedModel("x", "speech-recognition", config, "random", "nowhere")
    with pytest.raises(UsageError, match=line):
        make_inputs(resolved, batch=1, seq=2, device=CPU, seed=0)
