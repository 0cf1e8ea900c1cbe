"""The type in which autocast has a product computed, for layers that are functions of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def in_autocast_type(x: Tensor) -> Tensor:
    """Return `x` as autocast would hand it to a matrix product: in its type if it is on, else as it is."""
    device = x.device.type
    castable = x.is_floating_point() and x.dtype != torch.float64
    if not castable or not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return x
    return x.to(torch.get_autocast_dtype(device))
