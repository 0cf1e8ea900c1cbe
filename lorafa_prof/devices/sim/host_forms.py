"""Operations that CUDA has for types for which the host has no kernel, as the host can do them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _histc(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return torch.histc(x.double(), *args, **kwargs).to(x.dtype)


#: Of integers the host counts none; of 64 bits it counts all that are below 2**53 right.
HOST_FORMS: dict[Any, Callable[..., Any]] = {torch.ops.aten.histc.default: _histc}
