"""How a model takes images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafa_prof.errors import UsageError, described


@dataclass(frozen=True)
class ImageFormat:
    """Size and scale of the pixels that a model takes, from 0 to 1 before `mean` and `std`.

    The defaults are those of ViT's image processor, which resizes, and scales to −1 … 1.
    """

    height: int
    width: int
    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)


def image_format(height: int, width: int, channels: int, *, folder: Path | None = None) -> ImageFormat:
    """Return a model's form of images: the size of its config, the scale of its image processor.

    Args:
        height: in pixels.
        width: in pixels.
        channels: 1 or 3.
        folder: the model's; its preprocessor_config.json says mean and deviation, if it is there.

    Raises:
        UsageError: that file says none that fit.
    """
    said = folder / "preprocessor_config.json" if folder else None
    if said is None or not said.is_file():
        return ImageFormat(height, width, channels, (0.5,) * channels, (0.5,) * channels)
    try:
        config = json.loads(said.read_text(encoding="utf-8"))
        mean, std = (_scale(config[name], channels) for name in ("image_mean", "image_std"))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{said} does not say how images are scaled ({described(error)}); "
            f"it needs image_mean and image_std of {channels} numbers each"
        ) from error
    return ImageFormat(height, width, channels, mean, std)


def _scale(values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(values) != channels:
        raise ValueError(f"{len(values)} numbers for {channels} channels")
    return tuple(float(value) for value in values)
