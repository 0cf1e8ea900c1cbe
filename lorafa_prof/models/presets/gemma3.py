"""Gemma 3's language models: windows of attention but for every sixth layer, norms around each block."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset
from lorafa_prof.models.text_part import note_on

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    shape: tuple[int, int, int, int, int],
    *,
    head_dim: int = 256,
    query_scale: int = 256,
    window: int = 1024,
    positions: int = 131072,
    vocab: int = 262208,
    far: float = 8.0,
) -> PretrainedConfig:
    """Return a config; `shape` is (hidden, intermediate, layers, heads, key-value heads).

    Args:
        query_scale: queries are divided by its root.
        window: tokens that a windowed layer sees.
        far: positions of full attention are scaled down by this.
    """
    from transformers import Gemma3TextConfig

    hidden, intermediate, layers, heads, key_value_heads = shape
    full: dict[str, Any] = {"rope_type": "default", "rope_theta": 1000000.0}
    if far != 1:
        full = {"rope_type": "linear", "rope_theta": 1000000.0, "factor": far}
    return Gemma3TextConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=head_dim,
        query_pre_attn_scalar=query_scale,
        sliding_window=window,
        layer_types=["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(layers)],
        max_position_embeddings=positions,
        rope_parameters={
            "full_attention": full,
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        rms_norm_eps=1e-6,
        attention_bias=False,
        attention_dropout=0.0,
        hidden_activation="gelu_pytorch_tanh",
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )


def _preset(size: str, make_config: Any, *, sees: bool = True) -> Preset:
    """Return the preset of this size; `sees`: whether what was published has a vision tower."""
    return Preset(
        name=f"gemma-3-{size}",
        task="causal-lm",
        make_config=make_config,
        source=f"https://huggingface.co/google/gemma-3-{size}-pt/blob/main/config.json",
        notes=(note_on(["vision_config"]),) if sees else (),
    )


PRESETS = (
    _preset(
        "1b",
        partial(_config, (1152, 6912, 26, 4, 1), window=512, positions=32768, vocab=262144, far=1.0),
        sees=False,
    ),
    _preset("4b", partial(_config, (2560, 10240, 34, 8, 4))),
    _preset("12b", partial(_config, (3840, 15360, 48, 16, 8))),
    _preset("27b", partial(_config, (5376, 21504, 62, 32, 16), head_dim=128, query_scale=168)),
)
