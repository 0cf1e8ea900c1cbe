"""Running a model's forward under autocast, as transformers' Trainer does."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

#: By a scenario's `autocast`: the type that matrix products are computed in; "none" switches it off.
AUTOCAST_TYPES: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
_SIXTEEN_BITS = frozenset(AUTOCAST_TYPES.values())


def use_autocast(autocast: str, model: nn.Module, device_type: str) -> None:
    """Let forward of `model`, the loss in it too, run under autocast on devices of this type.

    It is what Trainer's accelerate does (accelerate 1.15, accelerator.py, prepare_model): forward is wrapped
    in `torch.autocast`, and what comes out in 16 bits is copied to float32 behind it. Backward runs outside.

    Args:
        autocast: a scenario's: "none" changes nothing.
        model: the whole model, adapters included.
        device_type: of its device: "cuda" or "cpu".
    """
    if autocast == "none":
        return
    # By a weak reference: a model that holds itself would not die when it is let go.
    own, reference = vars(model).get("forward"), weakref.ref(model)
    inner = getattr(own, "__func__", None) or type(model).forward

    context = torch.autocast(device_type, AUTOCAST_TYPES[autocast])

    @functools.wraps(inner)
    def forward(*args: Any, **kwargs: Any) -> Any:
        with context:
            output = inner(reference(), *args, **kwargs)
        return _in_float32(output)

    model.forward = forward


def _in_float32(value: Any) -> Any:
    """Return what a forward returned with its 16-bit tensors in float32 (accelerate, convert_to_fp32)."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in _SIXTEEN_BITS else value
    if isinstance(value, Mapping):
        return type(value)({key: _in_float32(inner) for key, inner in value.items()})  # type: ignore[call-arg]
    if type(value) in (tuple, list):
        return type(value)(_in_float32(inner) for inner in value)
    return value
