"""Fused optimizers, which update their tensors in place."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel

aten = torch.ops.aten


def _in_place(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    return None


KERNELS = (
    Kernel(
        name="fused AdamW",
        ops=(aten._fused_adamw_.default, aten._fused_adam_.default),
        model=_in_place,
        formula="nothing",
        source="ATen/native/cuda/FusedAdamWKernel.cu; H100 traces",
    ),
)
