"""Making the optimizer that a scenario names, for one update at the step's end or for updates in backward."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.optim import Optimizer

from lorafa_prof.cell import Cell, Update
from lorafa_prof.errors import UsageError
from lorafa_prof.optim.in_backward import UpdatesInBackward
from lorafa_prof.optim.optimizer import OPTIMIZERS, OptimizerChoice
from lorafa_prof.registry import nearest


def make_optimizer(name: str, params: Iterable[torch.nn.Parameter], update: Update = "step") -> Optimizer:
    """Return the optimizer called `name` over those of `params` that train.

    Args:
        name: of `OPTIMIZERS`.
        params: of the model; what does not require a gradient is left out.
        update: "step" for one optimizer; "backward" for one of each parameter, which updates it as soon as
            its gradient is complete, and frees that.

    Raises:
        UsageError: there is no such optimizer, or it cannot train these parameters.
    """
    choice = _choice(name)
    trained = [param for param in params if param.requires_grad]
    if update == "backward":
        return UpdatesInBackward(trained, choice.make)
    return choice.make(trained)


def check_update(cell: Cell) -> None:
    """Check that the cell's optimizer can run on its device, and when the cell says.

    Raises:
        UsageError: it cannot; the line says why, and what to do.
    """
    if reason := _choice(cell.optimizer).refuses(cell):
        raise UsageError(f"optimizer '{cell.optimizer}' {reason}", about="optimizer")
    if cell.update == "step":
        return
    if cell.accumulation > 1:
        raise UsageError(
            f"update 'backward' frees each gradient as soon as it is formed, so none are left to add up over "
            f"{cell.accumulation} micro-batches; set accumulation to 1, or update to step",
            about="update",
        )
    if cell.max_grad_norm is not None:
        raise UsageError(
            "update 'backward' never has all gradients at once, so their common norm is not known when they "
            f"are used; set max_grad_norm to null (it is {cell.max_grad_norm}), or update to step",
            about="update",
        )


def _choice(name: str) -> OptimizerChoice:
    if name not in OPTIMIZERS:
        raise UsageError(
            f"unknown optimizer '{name}'{nearest(name, list(OPTIMIZERS))}; known: {', '.join(OPTIMIZERS)}",
            about="optimizer",
        )
    return OPTIMIZERS[name]
