"""Mixtral: Mistral's layers, each with eight experts of which a token takes two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config() -> PretrainedConfig:
    from transformers import MixtralConfig

    return MixtralConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        num_local_experts=8,
        num_experts_per_tok=2,
        max_position_embeddings=32768,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        attention_dropout=0.0,
        router_aux_loss_coef=0.02,
        sliding_window=None,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )


PRESETS = (
    Preset(
        name="mixtral-8x7b",
        task="causal-lm",
        make_config=_config,
        source="https://huggingface.co/mistralai/Mixtral-8x7B-v0.1/blob/main/config.json",
    ),
)
