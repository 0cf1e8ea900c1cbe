"""Swin: attention in windows that shift, over stages that merge four patches into one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(
    width: int,
    depths: list[int],
    heads: list[int],
    *,
    image: int,
    window: int,
    classes: int,
    drop_path: float,
) -> PretrainedConfig:
    """Return a config; `width` is that of the first stage, and each next one's is twice as much."""
    from transformers import SwinConfig

    # A mapping, since the class does not name `num_labels`.
    fields: dict[str, Any] = {
        "embed_dim": width,
        "depths": list(depths),
        "num_heads": list(heads),
        "image_size": image,
        "patch_size": 4,
        "num_channels": 3,
        "window_size": window,
        "mlp_ratio": 4.0,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "drop_path_rate": drop_path,
        "use_absolute_embeddings": False,
        "layer_norm_eps": 1e-5,
        "num_labels": classes,
    }
    return SwinConfig(**fields)


PRESETS = (
    Preset(
        name="swin-base",
        task="image-classification",
        make_config=partial(
            _config, 128, [2, 2, 18, 2], [4, 8, 16, 32], image=224, window=7, classes=1000, drop_path=0.1
        ),
        source="https://huggingface.co/microsoft/swin-base-patch4-window7-224/blob/main/config.json",
    ),
    Preset(
        name="tiny-swin",
        task="image-classification",
        make_config=partial(_config, 32, [2, 2], [2, 4], image=32, window=4, classes=10, drop_path=0.0),
        source="synthetic",
    ),
)
