"""Nothing trains: forward, and backward to the embeddings' output; a yardstick for what adapters cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FrozenOptions(MethodOptions):
    """Options of a frozen model: it has none."""


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Freeze `model`, and let gradients flow to what its embeddings give."""
    cast(nn.Module, model).requires_grad_(False)
    cast(Any, model).enable_input_require_grads()
    model.train()
    idle = torch.optim.SGD([nn.Parameter(torch.empty(0))])
    return Prepared(model, idle, notes=("nothing trains: this is what a method adds to",))


METHOD = Method(
    name="frozen",
    summary="nothing trains, gradients flow to the embeddings: a yardstick for what adapters cost",
    options=FrozenOptions,
    prepare=prepare,
    default_adapter_dtype=None,
)
