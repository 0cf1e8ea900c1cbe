"""What `GradScaler` runs: gradients divided by the scale and searched for what is not finite."""

from __future__ import annotations

from typing import Any

import torch

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel

aten = torch.ops.aten


def _unscale(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    _, found_inf, _ = args
    # A float has no value on the twin, but for this one: steps there are those that are not skipped.
    step.learn(found_inf, 0.0)


def _update(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    return args[0]


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
