"""CLIP: an encoder of images and one of text, trained to bring pairs together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_Encoder = tuple[int, int, int]


def _config(
    vision: _Encoder,
    text: _Encoder,
    *,
    image: int,
    patch: int,
    projection: int,
    vocab: int = 49408,
    positions: int = 77,
) -> PretrainedConfig:
    """Return a config; `vision` and `text` are (hidden, layers, heads) of their encoders."""
    from transformers import CLIPConfig

    parts = {
        part: {
            "hidden_size": hidden,
            "intermediate_size": 4 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "hidden_act": "quick_gelu",
            "attention_dropout": 0.0,
            "layer_norm_eps": 1e-5,
            "projection_dim": projection,
        }
        for part, (hidden, layers, heads) in (("vision", vision), ("text", text))
    }
    return CLIPConfig(
        vision_config={**parts["vision"], "image_size": image, "patch_size": patch, "num_channels": 3},
        text_config={
            **parts["text"],
            "vocab_size": vocab,
            "max_position_embeddings": positions,
            "bos_token_id": vocab - 2,
            "eos_token_id": vocab - 1,
        },
        projection_dim=projection,
        logit_scale_init_value=2.6592,
    )


def _preset(size: str, vision: _Encoder, text: _Encoder, patch: int, projection: int) -> Preset:
    return Preset(
        name=f"clip-vit-{size}",
        task="image-text-pairs",
        make_config=partial(_config, vision, text, image=224, patch=patch, projection=projection),
        source=f"https://huggingface.co/openai/clip-vit-{size}/blob/main/config.json",
    )


PRESETS = (
    _preset("base-patch32", (768, 12, 12), (512, 12, 8), 32, 512),
    _preset("base-patch16", (768, 12, 12), (512, 12, 8), 16, 512),
    _preset("large-patch14", (1024, 24, 16), (768, 12, 12), 14, 768),
    Preset(
        name="tiny-clip",
        task="image-text-pairs",
        make_config=partial(
            _config, (64, 2, 4), (32, 2, 2), image=32, patch=8, projection=48, vocab=256, positions=64
        ),
        source="synthetic",
    ),
)
