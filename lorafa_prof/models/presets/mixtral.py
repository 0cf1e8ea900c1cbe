"""Mixtral: Mistral's layers, each with eight experts of which a token takes two."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(shape: tuple[int, int, int, int, int], **overrides: Any) -> PretrainedConfig:
    """Return a config; `shape` is (hidden, intermediate, layers, heads, key-value heads)."""
    from transformers import MixtralConfig

    hidden, intermediate, layers, heads, key_value_heads = shape
    fields: dict[str, Any] = {
        "vocab_size": 32000,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "attention_dropout": 0.0,
        "router_aux_loss_coef": 0.02,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **overrides,
    }
    return MixtralConfig(**fields)


PRESETS = (
    Preset(
        name="mixtral-8x7b",
        task="causal-lm",
        make_config=partial(_config, (4096, 14336, 32, 32, 8)),
        source="https://huggingface.co/mistralai/Mixtral-8x7B-v0.1/blob/main/config.json",
    ),
    Preset(
        name="tiny-mixtral",
        task="causal-lm",
        make_config=partial(_config, (64, 128, 2, 4, 2), vocab_size=256, max_position_embeddings=256),
        source="synthetic",
    ),
)
