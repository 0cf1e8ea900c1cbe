"""ViT: patches of an image and a class token, through an encoder with learned positions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    hidden: int, intermediate: int, layers: int, heads: int, *, image: int, patch: int, classes: int
) -> PretrainedConfig:
    from transformers import ViTConfig

    # A mapping, since the class does not name `num_labels`.
    fields: dict[str, Any] = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": image,
        "patch_size": patch,
        "num_channels": 3,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "layer_norm_eps": 1e-12,
        "qkv_bias": True,
        "num_labels": classes,
    }
    return ViTConfig(**fields)


def _preset(size: str, hidden: int, intermediate: int, layers: int, heads: int) -> Preset:
    return Preset(
        name=f"vit-{size}",
        task="image-classification",
        make_config=partial(_config, hidden, intermediate, layers, heads, image=224, patch=16, classes=1000),
        source=f"https://huggingface.co/google/vit-{size}-patch16-224/blob/main/config.json",
    )


PRESETS = (
    _preset("base", 768, 3072, 12, 12),
    _preset("large", 1024, 4096, 24, 16),
    Preset(
        name="tiny-vit",
        task="image-classification",
        make_config=partial(_config, 64, 256, 2, 4, image=32, patch=8, classes=10),
        source="synthetic",
    ),
)
