"""The values of a scenario's `kernels`: which kernels a model's norms and loss run."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.compiled import compile_layers
from lorafa_prof.models.fused_loss import use_fused_loss
from lorafa_prof.models.fused_norm import use_fused_norm
from lorafa_prof.models.liger import load_liger, use_liger
from lorafa_prof.models.packed import use_packed
from lorafa_prof.registry import nearest


def leave_as_it_is(model: nn.Module) -> None:
    """Change nothing: the model runs the kernels that transformers chooses."""


def use_fused_norm_and_loss(model: nn.Module) -> None:
    """Let the model's RMS norms and its loss run the fused kernels."""
    use_fused_norm(model)
    use_fused_loss(model)


LIGER, COMPILE, PACKED = "liger", "compile", "packed"

#: By the scenario's name of the kernels: the function that makes a model, prepared to train, run them.
KERNELS: dict[str, Callable[[nn.Module], None]] = {
    "eager": leave_as_it_is,
    "fused-norm": use_fused_norm,
    "fused-loss": use_fused_loss,
    "fused": use_fused_norm_and_loss,
    LIGER: use_liger,
    COMPILE: compile_layers,
    PACKED: use_packed,
}

#: Those whose loss is computed without logits.
WITHOUT_LOGITS = ("fused-loss", "fused", PACKED)
#: Those that bring a loss of their own; Liger's makes logits in an evaluation.
OWN_LOSS = (*WITHOUT_LOGITS, LIGER)


def import_kernels(kernels: str) -> None:
    """Import the package that these kernels are of, before a model is built and before a twin is entered.

    Raises:
        UsageError: it is missing.
    """
    if kernels == LIGER:
        load_liger()


def use_kernels(kernels: str, model: nn.Module) -> None:
    """Make `model`, which its method has prepared to train, run the kernels of this name.

    Raises:
        UsageError: there are no such kernels, or they do not exist for this model.
    """
    if kernels not in KERNELS:
        raise UsageError(
            f"unknown kernels '{kernels}'{nearest(kernels, list(KERNELS))}; known: {', '.join(KERNELS)}",
            about="kernels",
        )
    KERNELS[kernels](model)
