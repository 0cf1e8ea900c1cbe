"""Models of transformers' own that are no presets: configs so small that one step takes a moment."""

from __future__ import annotations

from pathlib import Path
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
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 8, "num_experts": 8, "n_routed_experts": 8}
_MIXTURE: dict[str, Any] = {**_EXPERTS, "head_dim": 16}
_QWEN: dict[str, Any] = {
    **_MIXTURE,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 48,
}
_MAMBA_2: dict[str, Any] = {
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
#: What of each type's config is smaller than, or beside, that of any decoder.
_OWN: dict[str, dict[str, Any]] = {
    "aria_text": {"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 1, "head_dim": 16},
    "bamba": {"attn_layer_indices": [1], **_MAMBA_2},
    "dbrx": {
        "d_model": 64,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 64,
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 8, "moe_top_k": 2, "hidden_size": 64},
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
    },
    "deepseek_v3": {
        **_EXPERTS,
        "moe_intermediate_size": 32,
        "num_key_value_heads": 4,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 16,
        "head_dim": 8,
    },
    "falcon": {"new_decoder_architecture": False},
    "falcon_h1": {"mamba_d_ssm": 128, "head_dim": 16, **_MAMBA_2},
    "gpt_oss": _MIXTURE,
    "granitemoehybrid": {
        **_MIXTURE,
        "shared_intermediate_size": 48,
        "layer_types": ["mamba", "attention"],
        **_MAMBA_2,
    },
    "jamba": {
        **_EXPERTS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "mamba_dt_rank": 8,
    },
    "jetmoe": {**_EXPERTS, "kv_channels": 16},
    "llama4_text": {
        **_MIXTURE,
        "num_experts_per_tok": 1,
        "intermediate_size_mlp": 48,
        "interleave_moe_layer_step": 1,
        "attention_chunk_size": 64,
    },
    "mamba": {"state_size": 8, "time_step_rank": 8, "intermediate_size": 128},
    "mamba2": {"state_size": 16, "num_heads": 8, "head_dim": 16, "n_groups": 1, "chunk_size": 16},
    "mixtral": _MIXTURE,
    "nemotron_h": {
        **_EXPERTS,
        "hybrid_override_pattern": "M*E",
        "num_hidden_layers": 3,
        "head_dim": 16,
        "mamba_num_heads": 8,
        "mamba_head_dim": 16,
        "ssm_state_size": 16,
        "n_groups": 1,
        "chunk_size": 16,
        "moe_intermediate_size": 32,
        "moe_shared_expert_intermediate_size": 32,
    },
    "phimoe": _MIXTURE,
    "qwen2_moe": _QWEN,
    "qwen3_moe": _QWEN,
    "zamba2": {
        "num_hidden_layers": 3,
        "num_key_value_heads": 4,
        "layers_block_type": ["mamba", "hybrid", "mamba"],
        "hybrid_layer_ids": [1],
        "num_mem_blocks": 1,
        "mamba_d_state": 16,
        "mamba_headdim": 16,
        "n_mamba_heads": 8,
        "mamba_ngroups": 1,
        "chunk_size": 16,
        "adapter_rank": 8,
    },
}


def small(model_type: str, **more: Any) -> ResolvedModel:
    """A small causal language model of this type of transformers'."""
    config = CONFIG_MAPPING[model_type](**{**_DECODER, **_OWN[model_type], **more})
    return ResolvedModel(model_type, "causal-lm", config, "random", source="")


def write_config(resolved: ResolvedModel, folder: Path) -> str:
    """Write the model's config, and return the path by which a cell names the model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    resolved.config.architectures = [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[resolved.config.model_type]]
    resolved.config.save_pretrained(folder)
    return str(folder / "config.json")
