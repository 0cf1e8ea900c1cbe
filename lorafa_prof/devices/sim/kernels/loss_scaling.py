"""What `GradScaler` runs: gradients divided by the scale and searched for what is not finite."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.device_tensors import on_shapes
from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel

aten = torch.ops.aten


def _unscale(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    _, found_inf, _ = args
    # A float has no value on the twin, but for this one: steps there are those that are not skipped.
    step.learn(found_inf, 0.0)


def _update(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Keep the scale known: of steps that are not skipped one in `interval` makes it larger."""
    scale, steps, _, growth, _, interval = args
    scaled_by, healthy = step.value_of(scale), step.value_of(steps)
    if scaled_by is not None and healthy is not None:
        with on_shapes(False):
            grows = healthy.item() + 1 == interval
            values = scaled_by.item() * (growth if grows else 1.0), 0 if grows else healthy.item() + 1
        for tensor, value in zip((scale, steps), values, strict=True):
            step.learn(tensor, value)
    return scale


KERNELS = (
    Kernel(
        name="unscaling gradients",
        ops=(aten._amp_foreach_non_finite_check_and_unscale_.default,),
        model=_unscale,
        formula="nothing; all gradients are taken to be finite, so that no step is skipped",
        source="ATen/native/cuda/AmpKernels.cu",
    ),
    Kernel(
        name="loss scale",
        ops=(aten._amp_update_scale_.default,),
        model=_update,
        formula="nothing",
        source="ATen/native/cuda/AmpKernels.cu",
    ),
)
