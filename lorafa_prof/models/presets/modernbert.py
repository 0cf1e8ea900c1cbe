"""ModernBERT: an encoder with rotary positions, windows but for every third layer, gated products."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(shape: tuple[int, int, int, int]) -> PretrainedConfig:
    """Return a config; `shape` is (hidden, intermediate, layers, heads)."""
    from transformers import ModernBertConfig

    hidden, intermediate, layers, heads = shape
    return ModernBertConfig(
        vocab_size=50368,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=8192,
        local_attention=128,
        classifier_pooling="mean",
        pad_token_id=50283,
        bos_token_id=50281,
        eos_token_id=50282,
        cls_token_id=50281,
        sep_token_id=50282,
    )


def _preset(size: str, shape: tuple[int, int, int, int]) -> Preset:
    return Preset(
        name=f"modernbert-{size}",
        task="sequence-classification",
        make_config=partial(_config, shape),
        source=f"https://huggingface.co/answerdotai/ModernBERT-{size}/blob/main/config.json",
    )


PRESETS = (
    _preset("base", (768, 1152, 22, 12)),
    _preset("large", (1024, 2624, 28, 16)),
)
