"""Which kernels a model's norms, activations and loss run."""

from __future__ import annotations

from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest

#: `eager` is what transformers runs by itself.
KERNELS = ("eager",)


def check_kernels(kernels: str) -> None:
    """Raise UsageError if there are no such kernels."""
    if kernels not in KERNELS:
        raise UsageError(
            f"unknown kernels '{kernels}'{nearest(kernels, list(KERNELS))}; known: {', '.join(KERNELS)}",
            about="kernels",
        )
