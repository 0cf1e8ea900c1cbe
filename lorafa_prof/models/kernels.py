"""Which kernels a model's norms, activations and loss run."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.fused_loss import use_fused_loss
from lorafa_prof.models.fused_norm import use_fused_norm
from lorafa_prof.registry import nearest


def leave_as_it_is(model: nn.Module) -> None:
    """What transformers runs by itself."""


def use_fused_norm_and_loss(model: nn.Module) -> None:
    """Both of them."""
    use_fused_norm(model)
    use_fused_loss(model)


#: What makes a model, prepared to train, run them.
KERNELS: dict[str, Callable[[nn.Module], None]] = {
    "eager": leave_as_it_is,
    "fused-norm": use_fused_norm,
    "fused-loss": use_fused_loss,
    "fused": use_fused_norm_and_loss,
}


def use_kernels(kernels: str, model: nn.Module) -> None:
    """Let `model`, made ready to train by its method, run these kernels.

    Raises:
        UsageError: there are no such kernels, or not for this model.
    """
    if kernels not in KERNELS:
        raise UsageError(
            f"unknown kernels '{kernels}'{nearest(kernels, list(KERNELS))}; known: {', '.join(KERNELS)}",
            about="kernels",
        )
    KERNELS[kernels](model)
