"""The optimizers a scenario can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

import torch
from torch.optim import SGD, AdamW, Optimizer

from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest

LEARNING_RATE = 1e-4

MakeOptimizer = Callable[[list[torch.nn.Parameter]], Optimizer]


def _adamw_fused(params: list[torch.nn.Parameter]) -> Optimizer:
    # The meta device has no fused kernel unless it stands for a GPU: otherwise a step is checked, not run.
    supported = import_module("torch.optim.optimizer")._get_fused_kernels_supported_devices()
    fused = all(param.device.type in supported for param in params)
    return AdamW(params, lr=LEARNING_RATE, fused=fused)


def _adamw_foreach(params: list[torch.nn.Parameter]) -> Optimizer:
    return AdamW(params, lr=LEARNING_RATE, foreach=True)


def _sgd(params: list[torch.nn.Parameter]) -> Optimizer:
    return SGD(params, lr=LEARNING_RATE, foreach=True)


#: `adamw` is the fused one, as in transformers' Trainer; PyTorch's own default on CUDA is `adamw-foreach`.
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "adamw": _adamw_fused,
    "adamw-foreach": _adamw_foreach,
    "sgd": _sgd,
}


def make_optimizer(name: str, params: Iterable[torch.nn.Parameter]) -> Optimizer:
    """Return the optimizer called `name` over those of `params` that train.

    Raises:
        UsageError: there is no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise UsageError(
            f"unknown optimizer '{name}'{nearest(name, list(OPTIMIZERS))}; known: {', '.join(OPTIMIZERS)}",
            about="optimizer",
        )
    return OPTIMIZERS[name]([param for param in params if param.requires_grad])
