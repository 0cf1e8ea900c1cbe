"""T5 v1.0: encoder and decoder, relative positions, ReLU, tied embeddings with scaled outputs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    hidden: int, intermediate: int, layers: int, heads: int, *, head_dim: int = 64, vocab: int = 32128
) -> PretrainedConfig:
    from transformers import T5Config

    # A dict, because the config class takes some of these as extra keywords that type checkers do not see.
    fields: dict[str, Any] = {
        "vocab_size": vocab,
        "d_model": hidden,
        "d_kv": head_dim,
        "d_ff": intermediate,
        "num_layers": layers,
        "num_decoder_layers": layers,
        "num_heads": heads,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "relu",
        "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6,
        "initializer_factor": 1.0,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }
    return T5Config(**fields)


def _preset(name: str, hidden: int, intermediate: int, layers: int, heads: int) -> Preset:
    return Preset(
        name=name,
        task="seq2seq-lm",
        make_config=partial(_config, hidden, intermediate, layers, heads),
        source=f"https://huggingface.co/google-t5/{name}/blob/main/config.json",
    )


PRESETS = (
    _preset("t5-small", 512, 2048, 6, 8),
    _preset("t5-base", 768, 3072, 12, 12),
    _preset("t5-large", 1024, 4096, 24, 16),
    Preset(
        name="tiny-t5",
        task="seq2seq-lm",
        make_config=partial(_config, 64, 256, 2, 4, head_dim=16, vocab=256),
        source="synthetic",
    ),
)
