"""Mistral 7B v0.1: Llama's layers with grouped heads and a sliding window of 4096 positions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(**shape: Any) -> PretrainedConfig:
    from transformers import MistralConfig

    return MistralConfig(
        hidden_act="silu",
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        initializer_range=0.02,
        attention_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
        **shape,
    )


PRESETS = (
    Preset(
        name="mistral-7b",
        task="causal-lm",
        make_config=partial(
            _config,
            vocab_size=32000,
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=32768,
            sliding_window=4096,
        ),
        source="https://huggingface.co/mistralai/Mistral-7B-v0.1/blob/main/config.json",
    ),
    Preset(
        name="tiny-mistral",
        task="causal-lm",
        make_config=partial(
            _config,
            vocab_size=256,
            hidden_size=64,
            intermediate_size=176,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            # Shorter than the tests' sequences, so that the window's mask is really built.
            sliding_window=32,
        ),
        source="synthetic",
    ),
)
