"""DeBERTa-v3: an encoder whose attention scores content and relative position apart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(shape: tuple[int, int, int, int]) -> PretrainedConfig:
    """Return a config; `shape` is (hidden, intermediate, layers, heads)."""
    from transformers import DebertaV2Config

    hidden, intermediate, layers, heads = shape
    fields: dict[str, Any] = {
        "vocab_size": 128100,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 512,
        "position_buckets": 256,
        "relative_attention": True,
        "max_relative_positions": -1,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "layer_norm_eps": 1e-7,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pooler_dropout": 0,
        "pooler_hidden_act": "gelu",
        "pooler_hidden_size": hidden,
        "pad_token_id": 0,
    }
    return DebertaV2Config(**fields)


def _preset(size: str, shape: tuple[int, int, int, int]) -> Preset:
    return Preset(
        name=f"deberta-v3-{size}",
        task="sequence-classification",
        make_config=partial(_config, shape),
        source=f"https://huggingface.co/microsoft/deberta-v3-{size}/blob/main/config.json",
    )


PRESETS = (
    _preset("small", (768, 3072, 6, 12)),
    _preset("base", (768, 3072, 12, 12)),
    _preset("large", (1024, 4096, 24, 16)),
)
