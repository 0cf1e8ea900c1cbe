"""Qwen2.5 base models: Llama's layers with grouped heads and biases on query, key and value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    shape: tuple[int, int, int, int, int],
    *,
    vocab: int,
    positions: int,
    tied: bool,
    end_of_text: int = 151643,
) -> PretrainedConfig:
    """Return a config; `shape` is (hidden, intermediate, layers, heads, key-value heads)."""
    from transformers import Qwen2Config

    hidden, intermediate, layers, heads, key_value_heads = shape
    return Qwen2Config(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=positions,
        tie_word_embeddings=tied,
        hidden_act="silu",
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        use_sliding_window=False,
        sliding_window=positions,
        max_window_layers=layers,
        initializer_range=0.02,
        attention_dropout=0.0,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
    )


def _preset(
    name: str,
    repository: str,
    shape: tuple[int, int, int, int, int],
    *,
    vocab: int = 151936,
    positions: int = 131072,
    tied: bool,
) -> Preset:
    return Preset(
        name=name,
        task="causal-lm",
        make_config=partial(_config, shape, vocab=vocab, positions=positions, tied=tied),
        source=f"https://huggingface.co/{repository}/blob/main/config.json",
    )


PRESETS = (
    _preset("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", (896, 4864, 24, 14, 2), positions=32768, tied=True),
    _preset("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B", (1536, 8960, 28, 12, 2), tied=True),
    _preset("qwen2.5-7b", "Qwen/Qwen2.5-7B", (3584, 18944, 28, 28, 4), vocab=152064, tied=False),
    Preset(
        name="tiny-qwen2",
        task="causal-lm",
        make_config=partial(
            _config, (64, 176, 2, 4, 2), vocab=256, positions=256, tied=True, end_of_text=255
        ),
        source="synthetic",
    ),
)
