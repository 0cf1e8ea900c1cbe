"""Qwen3: normed queries and keys, dense and as a mixture of experts; the shapes of the tuned models."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _fields(shape: tuple[int, int, int, int, int], **overrides: Any) -> dict[str, Any]:
    """Return fields of a config; `shape` is (hidden, intermediate, layers, heads, key-value heads)."""
    hidden, intermediate, layers, heads, key_value_heads = shape
    return {
        "vocab_size": 151936,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "head_dim": 128,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        **overrides,
    }


def _dense(shape: tuple[int, int, int, int, int], **overrides: Any) -> PretrainedConfig:
    from transformers import Qwen3Config

    return Qwen3Config(**_fields(shape, **overrides))


def _mixture(shape: tuple[int, int, int, int, int]) -> PretrainedConfig:
    from transformers import Qwen3MoeConfig

    return Qwen3MoeConfig(
        **_fields(
            shape,
            tie_word_embeddings=False,
            moe_intermediate_size=768,
            num_experts=128,
            num_experts_per_tok=8,
            norm_topk_prob=True,
            router_aux_loss_coef=0.001,
            decoder_sparse_step=1,
            mlp_only_layers=[],
        )
    )


def _preset(size: str, make_config: Any) -> Preset:
    return Preset(
        name=f"qwen3-{size.lower()}",
        task="causal-lm",
        make_config=make_config,
        source=f"https://huggingface.co/Qwen/Qwen3-{size}/blob/main/config.json",
    )


PRESETS = (
    _preset("0.6B", partial(_dense, (1024, 3072, 28, 16, 8), tie_word_embeddings=True)),
    _preset("1.7B", partial(_dense, (2048, 6144, 28, 16, 8), tie_word_embeddings=True)),
    _preset("4B", partial(_dense, (2560, 9728, 36, 32, 8), tie_word_embeddings=True)),
    _preset("8B", partial(_dense, (4096, 12288, 36, 32, 8), tie_word_embeddings=False)),
    _preset("14B", partial(_dense, (5120, 17408, 40, 40, 8), tie_word_embeddings=False)),
    _preset("32B", partial(_dense, (5120, 25600, 64, 64, 8), tie_word_embeddings=False)),
    _preset("30B-A3B", partial(_mixture, (2048, 6144, 48, 32, 4))),
)
