"""RoBERTa with a classification head of two labels: post-norm encoder, learned positions, exact GELU."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    hidden: int, intermediate: int, layers: int, heads: int, *, vocab: int = 50265, positions: int = 514
) -> PretrainedConfig:
    from transformers import RobertaConfig

    # A dict, because the config class takes some of these as extra keywords that type checkers do not see.
    fields: dict[str, Any] = {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": positions,
        "type_vocab_size": 1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-5,
        "initializer_range": 0.02,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "num_labels": 2,
    }
    return RobertaConfig(**fields)


def _preset(name: str, hidden: int, intermediate: int, layers: int, heads: int) -> Preset:
    return Preset(
        name=name,
        task="sequence-classification",
        make_config=partial(_config, hidden, intermediate, layers, heads),
        source=f"https://huggingface.co/FacebookAI/{name}/blob/main/config.json",
    )


PRESETS = (
    _preset("roberta-base", 768, 3072, 12, 12),
    _preset("roberta-large", 1024, 4096, 24, 16),
    Preset(
        name="tiny-roberta",
        task="sequence-classification",
        make_config=partial(_config, 64, 256, 2, 4, vocab=256, positions=258),
        source="synthetic",
    ),
)
