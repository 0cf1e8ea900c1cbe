"""The type in which autocast has a product computed, for layers that are functions of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def is_autocast(x: Tensor) -> bool:
    """Return whether autocast would cast `x` for a matrix product, or leave it for being so already."""
    device = x.device.type
    castable = x.is_floating_point() and x.dtype != torch.float64
    return castable and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def in_autocast_type(x: Tensor) -> Tensor:
    """Return `x` as autocast would hand it to a matrix product: in its type if it is on, else as it is."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if is_autocast(x) else x
