"""PyTorch's SGD, without and with momentum, over lists of tensors as it is by default on CUDA."""

from __future__ import annotations

import torch
from torch.optim import SGD, Optimizer

from lorafa_prof.optim.optimizer import LEARNING_RATE, OptimizerChoice

MOMENTUM = 0.9


def _plain(params: list[torch.nn.Parameter]) -> Optimizer:
    return SGD(params, lr=LEARNING_RATE, foreach=True)


def _with_momentum(params: list[torch.nn.Parameter]) -> Optimizer:
    return SGD(params, lr=LEARNING_RATE, momentum=MOMENTUM, foreach=True)


OPTIMIZERS_HERE = (
    OptimizerChoice("sgd", "SGD without momentum: no state", _plain),
    OptimizerChoice("sgd-momentum", f"SGD with momentum {MOMENTUM}: one state", _with_momentum),
)
