"""Sound as a network takes it: the size of its spectra and the positions they become, by its config."""

from __future__ import annotations

import torch
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.models.resolve import ResolvedModel

#: Types of models that take log-mel spectra of two frames to a position.
_HEARS = ("whisper",)


def sound_tokens(resolved: ResolvedModel) -> int:
    """Return how many positions the network makes of a sample's sound: all that its encoder has.

    Raises:
        UsageError: what this type of model takes is not known, or its config has no number.
    """
    return _whole(resolved, "max_source_positions")


def draw_spectra(
    resolved: ResolvedModel, *, batch: int, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """Return normal random spectra of `dtype` and of shape (batch, mel bins, frames).

    Raises:
        UsageError: what this type of model takes is not known, or its config has no sizes.
    """
    frames = 2 * sound_tokens(resolved)
    shape = (batch, _whole(resolved, "num_mel_bins"), frames)
    return torch.randn(shape, generator=generator).to(dtype)


def _whole(resolved: ResolvedModel, name: str) -> int:
    config = resolved.config
    value = getattr(config, name, None)
    if config.model_type in _HEARS and isinstance(value, int) and value > 0:
        return value
    known = f"known is that of {', '.join(_HEARS)}"
    why = f"{name} is {value!r}" if config.model_type in _HEARS else known
    raise UsageError(
        f"model '{resolved.name}' (type '{config.model_type}'): no sound can be made as it takes it; {why}"
    )
