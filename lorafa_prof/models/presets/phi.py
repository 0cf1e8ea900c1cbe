"""Phi-4: Phi-3's layers, with query, key and value in one product, and gate and up in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config() -> PretrainedConfig:
    from transformers import Phi3Config

    return Phi3Config(
        vocab_size=100352,
        hidden_size=5120,
        intermediate_size=17920,
        num_hidden_layers=40,
        num_attention_heads=40,
        num_key_value_heads=10,
        max_position_embeddings=16384,
        original_max_position_embeddings=16384,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 250000.0, "partial_rotary_factor": 1.0},
        attention_dropout=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=100257,
        eos_token_id=100257,
        pad_token_id=100257,
    )


PRESETS = (
    Preset(
        name="phi-4",
        task="causal-lm",
        make_config=_config,
        source="https://huggingface.co/microsoft/phi-4/blob/main/config.json",
    ),
)
