"""What adapters rely on: that their base, and with LoRA-FA their A, never train.

No gradient of these is formed, and of LoRA-FA's A nothing is kept that it could be formed from. So one that
is thawed, by `model.requires_grad_(True)` or a library's `disable_adapter()`, would silently not train.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.quantized.weight import QuantizedWeight


class Adapter(Protocol):
    """What has a place in its model."""

    path: str


def check_frozen(adapter: Adapter, parameters: Mapping[str, Tensor | QuantizedWeight | None]) -> None:
    """Check that no gradient is asked of `parameters`, which are called so below the adapter's path.

    It reads flags on the host, of tensors that the caller has at hand, so that every forward can ask. The
    path is read in the error alone: torch.compile would compile each layer anew for it.

    Raises:
        UsageError: one requires a gradient; the line names it.
    """
    for name, parameter in parameters.items():
        if isinstance(parameter, Tensor) and parameter.requires_grad and torch.is_grad_enabled():
            named = f"{adapter.path}.{name}" if adapter.path else name
            raise UsageError(
                f"'{named}' was thawed (it requires a gradient), and its adapter forms none of it: call "
                "requires_grad_(False) on it again",
                about="method",
            )
