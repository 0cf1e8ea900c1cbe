"""transformers' Adafactor (arXiv 1804.04235): of a matrix it keeps a row and a column of second moments."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from lorafa_prof.optim.optimizer import LEARNING_RATE, OptimizerChoice


def _make(params: list[torch.nn.Parameter]) -> Optimizer:
    from transformers.optimization import Adafactor

    # As Trainer sets it: transformers/trainer_optimizer.py, _get_adafactor.
    return Adafactor(params, lr=LEARNING_RATE, scale_parameter=False, relative_step=False)


OPTIMIZERS_HERE = (
    OptimizerChoice(
        "adafactor", "transformers' Adafactor, with the settings of its Trainer", _make, shards=False
    ),
)
