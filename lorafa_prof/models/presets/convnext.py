"""ConvNeXt: convolutions of 7 × 7 and linear layers between them, no attention."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lorafa_prof.models.preset import Preset

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def _config(widths: list[int], depths: list[int], *, image: int, classes: int) -> PretrainedConfig:
    from transformers import ConvNextConfig

    # A mapping, since the class does not name `num_labels`.
    fields: dict[str, Any] = {
        "hidden_sizes": list(widths),
        "depths": list(depths),
        "num_stages": len(depths),
        "image_size": image,
        "patch_size": 4,
        "num_channels": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "layer_scale_init_value": 1e-6,
        "drop_path_rate": 0.0,
        "num_labels": classes,
    }
    return ConvNextConfig(**fields)


PRESETS = (
    Preset(
        name="convnext-base",
        task="image-classification",
        make_config=partial(_config, [128, 256, 512, 1024], [3, 3, 27, 3], image=224, classes=1000),
        source="https://huggingface.co/facebook/convnext-base-224/blob/main/config.json",
    ),
    Preset(
        name="tiny-convnext",
        task="image-classification",
        make_config=partial(_config, [32, 64], [2, 2], image=32, classes=10),
        source="synthetic",
    ),
)
