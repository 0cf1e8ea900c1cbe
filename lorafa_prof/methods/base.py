"""What a method is, and the registry of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from lorafa_prof.cell import Dtype, Frozen
from lorafa_prof.models.preset import Task
from lorafa_prof.registry import Registry

TORCH_DTYPES: dict[str, torch.dtype] = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class MethodOptions(Frozen):
    """Base of a method's options. Every field is an axis of the sweep."""


@dataclass(frozen=True)
class Setting:
    """What a method needs to know of its cell beside its own options."""

    task: Task
    adapter_dtype: torch.dtype
    optimizer: str


@dataclass(frozen=True)
class Prepared:
    """A model made ready to train.

    `optimizer_tensors` are kept for the optimizer's sake outside of `optimizer.state`.
    """

    model: nn.Module
    optimizer: Optimizer
    optimizer_tensors: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Method:
    """Which weights of a model train, and how.

    Attributes:
        name: as in the scenario.
        summary: one line for `lorafa-prof list`.
        options: the pydantic model of its options.
        prepare: freezes, adds adapters, makes the optimizer; works on the meta device too, where it is
            the check of a cell before anything is measured. Raises UsageError for options that do not fit
            the model.
        default_adapter_dtype: type of the adapters if the scenario names none, from the base's type; None
            for a method without adapters.
        label: what the results table calls the method with these options.
    """

    name: str
    summary: str
    options: type[MethodOptions]
    prepare: Callable[[PreTrainedModel, MethodOptions, Setting], Prepared]
    default_adapter_dtype: Callable[[Dtype], Dtype] | None
    label: Callable[[MethodOptions], str] | None = None

    def label_of(self, options: MethodOptions) -> str:
        """The name in the results table."""
        return self.label(options) if self.label else self.name


METHODS: Registry[Method] = Registry(
    kind="method",
    package="lorafa_prof.methods",
    attribute="METHOD",
    group="lorafa_prof.methods",
    name_of=lambda method: method.name,
)
