"""DINOv2: a ViT with a learned scale behind each block, at 518 pixels; its head is new."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(hidden: int, layers: int, heads: int, *, image: int = 518, patch: int = 14) -> PretrainedConfig:
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        mlp_ratio=4,
        image_size=image,
        patch_size=patch,
        num_channels=3,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        drop_path_rate=0.0,
        layer_norm_eps=1e-6,
        layerscale_value=1.0,
        qkv_bias=True,
        use_swiglu_ffn=False,
    )


def _preset(size: str, hidden: int, layers: int, heads: int) -> Preset:
    return Preset(
        name=f"dinov2-{size}",
        task="image-classification",
        make_config=partial(_config, hidden, layers, heads),
        source=f"https://huggingface.co/facebook/dinov2-{size}/blob/main/config.json",
    )


PRESETS = (
    _preset("base", 768, 12, 12),
    _preset("large", 1024, 24, 16),
    Preset(
        name="tiny-dinov2",
        task="image-classification",
        make_config=partial(_config, 64, 2, 4, image=28, patch=7),
        source="synthetic",
    ),
)
