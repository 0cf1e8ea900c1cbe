"""PyTorch's AdamW by each of its three implementations, which differ in what they allocate."""

from __future__ import annotations

from importlib import import_module

import torch
from torch.optim import AdamW, Optimizer

from lorafa_prof.optim.optimizer import LEARNING_RATE, OptimizerChoice


def _fused(params: list[torch.nn.Parameter]) -> Optimizer:
    # The meta device has no fused kernel unless it stands for a GPU: otherwise a step is checked, not run.
    supported = import_module("torch.optim.optimizer")._get_fused_kernels_supported_devices()
    fused = all(param.device.type in supported for param in params)
    return AdamW(params, lr=LEARNING_RATE, fused=fused)


def _foreach(params: list[torch.nn.Parameter]) -> Optimizer:
    return AdamW(params, lr=LEARNING_RATE, foreach=True)


def _loop(params: list[torch.nn.Parameter]) -> Optimizer:
    # Not left to PyTorch, which would take `foreach` on CUDA.
    return AdamW(params, lr=LEARNING_RATE, foreach=False, fused=False)


#: `adamw` is the fused one, as in transformers' Trainer; PyTorch's own default on CUDA is `adamw-foreach`.
OPTIMIZERS_HERE = (
    OptimizerChoice("adamw", "AdamW in one kernel (fused), as in transformers' Trainer", _fused),
    OptimizerChoice("adamw-foreach", "AdamW over lists of tensors, PyTorch's own default on CUDA", _foreach),
    OptimizerChoice("adamw-loop", "AdamW one parameter after another, in a plain loop", _loop),
)
