"""Models of transformers' own that are no presets: configs so small that one step takes a moment."""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING

from lorafa_prof.models.resolve import ResolvedModel

_DECODER: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_OWN: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {
        "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 48,
        "num_experts": 8,
        "num_experts_per_tok": 2,
    },
    "qwen3_moe": {"moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2},
}


def small(model_type: str, **more: Any) -> ResolvedModel:
    """A small causal language model of this type of transformers'."""
    fields = {**_DECODER, **_OWN.get(model_type, {}), **more}
    config = CONFIG_MAPPING[model_type](**{key: value for key, value in fields.items() if value != "unset"})
    return ResolvedModel(model_type, "causal-lm", config, "random", source="")
