"""Images as a network takes them: their size and the tokens it makes of them, both by its config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.models.resolve import ResolvedModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig

#: By type of model: the tokens beside those of patches, such as the class token.
_BESIDE_PATCHES = {
    "beit": 1,
    "chinese_clip_vision_model": 1,
    "clip_vision_model": 1,
    "convnext": 0,
    "convnextv2": 0,
    "data2vec-vision": 1,
    "deit": 2,
    "dinov2": 1,
    "dinov2_with_registers": 1,
    "focalnet": 0,
    "ijepa": 0,
    "metaclip_2_vision_model": 1,
    "siglip_vision_model": 0,
    "swin": 0,
    "swinv2": 0,
    "vit": 1,
    "vit_msn": 1,
}
#: These fill an image up to whole patches, where others leave its edge out.
_FILLS_UP = frozenset({"focalnet", "swin", "swinv2"})


def seeing_config(resolved: ResolvedModel) -> PretrainedConfig:
    """Return the config of what sees images: a part of the network, or all of it."""
    part: PretrainedConfig | None = getattr(resolved.config, "vision_config", None)
    return resolved.config if part is None else part


def image_tokens(resolved: ResolvedModel) -> int:
    """Return how many tokens the network makes of an image of its config's size.

    They are its patches, and class and register tokens where it has some. Of networks that merge tokens from
    stage to stage, or have none (ConvNeXt), they are the patches of the first stage.

    Raises:
        UsageError: that is not known of this type of model, or its config has no sizes.
    """
    config = seeing_config(resolved)
    kind = config.model_type
    if kind not in _BESIDE_PATCHES:
        raise UsageError(
            f"model '{resolved.name}' (type '{kind}'): what it makes of an image is not known here; of these "
            f"types it is: {', '.join(_BESIDE_PATCHES)}"
        )
    sides, patch = (_sides(resolved, config, name) for name in ("image_size", "patch_size"))
    fill = [size - 1 if kind in _FILLS_UP else 0 for size in patch]
    rows, columns = ((side + more) // size for side, more, size in zip(sides, fill, patch, strict=True))
    return rows * columns + _BESIDE_PATCHES[kind] + (getattr(config, "num_register_tokens", None) or 0)


def draw_images(
    resolved: ResolvedModel, *, batch: int, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """Return normal random pixels of `dtype` and of shape (batch, channels, height, width).

    Raises:
        UsageError: the config has no size of images.
    """
    return torch.randn((batch, *image_shape(resolved)), generator=generator).to(dtype)


def image_shape(resolved: ResolvedModel) -> tuple[int, int, int]:
    """Return channels, height and width of the images that the network takes.

    Raises:
        UsageError: the config has no size of images.
    """
    config = seeing_config(resolved)
    channels = _whole(resolved, config, "num_channels", getattr(config, "num_channels", None))
    return channels, *_sides(resolved, config, "image_size")


def _sides(resolved: ResolvedModel, config: PretrainedConfig, name: str) -> tuple[int, int]:
    """Return height and width of what the config gives one number for, or two."""
    value = getattr(config, name, None)
    pair = value if isinstance(value, Sequence) and len(value) == 2 else (value, value)
    height, width = (_whole(resolved, config, name, side) for side in pair)
    return height, width


def _whole(resolved: ResolvedModel, config: PretrainedConfig, name: str, value: Any) -> int:
    if isinstance(value, int) and value > 0:
        return value
    raise UsageError(
        f"model '{resolved.name}' (type '{config.model_type}'): {name} of its config is {value!r}, and no "
        "images can be made without it"
    )
