"""Llama 1, 2, 3, 3.1 and 3.2: RMSNorm, rotary positions, SwiGLU, no biases; fields as published."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    shape: tuple[int, int, int, int, int],
    family: Mapping[str, Any],
    **overrides: Any,
) -> PretrainedConfig:
    """Return a config; `shape` is (hidden, intermediate, layers, heads, key-value heads)."""
    from transformers import LlamaConfig

    hidden, intermediate, layers, heads, key_value_heads = shape
    fields: dict[str, Any] = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        **family,
        **overrides,
    }
    # A copy: transformers writes defaults into the dict it is given, and the family's is shared.
    fields["rope_parameters"] = dict(fields["rope_parameters"])
    return LlamaConfig(**fields)


_LLAMA_1: Mapping[str, Any] = {
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_LLAMA_2: Mapping[str, Any] = {
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LLAMA_3: Mapping[str, Any] = {
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    "tie_word_embeddings": False,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}
_LLAMA_3_1: Mapping[str, Any] = {
    **_LLAMA_3,
    "max_position_embeddings": 131072,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
_LLAMA_3_2: Mapping[str, Any] = {
    **_LLAMA_3_1,
    "rope_parameters": {**_LLAMA_3_1["rope_parameters"], "factor": 32.0},
    "tie_word_embeddings": True,
}


def _preset(
    name: str,
    repository: str,
    shape: tuple[int, int, int, int, int],
    family: Mapping[str, Any],
    **overrides: Any,
) -> Preset:
    return Preset(
        name=name,
        task="causal-lm",
        make_config=partial(_config, shape, family, **overrides),
        source=f"https://huggingface.co/{repository}/blob/main/config.json",
    )


PRESETS = (
    _preset("llama-7b", "huggyllama/llama-7b", (4096, 11008, 32, 32, 32), _LLAMA_1),
    _preset("llama-13b", "huggyllama/llama-13b", (5120, 13824, 40, 40, 40), _LLAMA_1),
    _preset("llama-30b", "huggyllama/llama-30b", (6656, 17920, 60, 52, 52), _LLAMA_1),
    _preset("llama-65b", "huggyllama/llama-65b", (8192, 22016, 80, 64, 64), _LLAMA_1, rms_norm_eps=1e-5),
    _preset("llama-2-7b", "meta-llama/Llama-2-7b-hf", (4096, 11008, 32, 32, 32), _LLAMA_2),
    _preset("llama-2-13b", "meta-llama/Llama-2-13b-hf", (5120, 13824, 40, 40, 40), _LLAMA_2),
    _preset("llama-2-70b", "meta-llama/Llama-2-70b-hf", (8192, 28672, 80, 64, 8), _LLAMA_2),
    _preset("llama-3-8b", "meta-llama/Meta-Llama-3-8B", (4096, 14336, 32, 32, 8), _LLAMA_3),
    _preset("llama-3-70b", "meta-llama/Meta-Llama-3-70B", (8192, 28672, 80, 64, 8), _LLAMA_3),
    _preset("llama-3.1-8b", "meta-llama/Llama-3.1-8B", (4096, 14336, 32, 32, 8), _LLAMA_3_1),
    _preset("llama-3.1-70b", "meta-llama/Llama-3.1-70B", (8192, 28672, 80, 64, 8), _LLAMA_3_1),
    _preset("llama-3.2-1b", "meta-llama/Llama-3.2-1B", (2048, 8192, 16, 32, 8), _LLAMA_3_2),
    _preset("llama-3.2-3b", "meta-llama/Llama-3.2-3B", (3072, 8192, 28, 24, 8), _LLAMA_3_2),
    Preset(
        name="tiny-llama",
        task="causal-lm",
        make_config=partial(
            _config, (64, 176, 2, 4, 2), _LLAMA_2, vocab_size=256, max_position_embeddings=256
        ),
        source="synthetic",
    ),
)
