"""The type that every fine-tuning method is an object of, and the registry of methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.cell import Dtype, Update
from lorafa_prof.methods.method_options import MethodOptions as MethodOptions
from lorafa_prof.models.preset import Task
from lorafa_prof.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TORCH_DTYPES: dict[str, torch.dtype] = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Setting:
    """What a method reads of its cell besides its own options."""

    task: Task
    adapter_dtype: torch.dtype
    optimizer: str
    update: Update = "step"


@dataclass(frozen=True)
class Prepared:
    """A model made ready to train, with its optimizer.

    `optimizer_tensors` are kept for the optimizer's sake outside of `optimizer.state`. `notes` are
    what a reader of the row must know of what was made ready, such as what got no adapter. `follow` is called
    once the model was sharded and has its values, and returns `optimizer_tensors` as they are then; None:
    nothing hangs on that.
    """

    model: nn.Module
    optimizer: Optimizer
    optimizer_tensors: tuple[Tensor, ...] = ()
    notes: tuple[str, ...] = ()
    follow: Callable[[], tuple[Tensor, ...]] | None = None


@dataclass(frozen=True)
class Method:
    """Which weights of a model train, and how.

    Attributes:
        name: its name in a scenario.
        summary: one line for `lorafa-prof list`.
        options: pydantic model of its options.
        prepare: freezes weights, adds adapters and makes the optimizer; also on the meta device, where this
            checks a cell before anything is measured. Raises UsageError if options do not fit the model.
        default_adapter_dtype: gives the adapters' type if the scenario names none, from the base's type;
            None for a method without adapters.
        shards: whether its optimizer can update parameters of which each rank has its rows.
        prepares_later: whether `prepare` does the same where the model's values come after it, as those of a
            sharded model do; not so where it looks at them.
        label: gives the method's name in the results table, from its options; None: `name` is used.
    """

    name: str
    summary: str
    options: type[MethodOptions]
    prepare: Callable[[PreTrainedModel, MethodOptions, Setting], Prepared]
    default_adapter_dtype: Callable[[Dtype], Dtype] | None
    label: Callable[[MethodOptions], str] | None = None
    shards: bool = True
    prepares_later: bool = True

    def label_of(self, options: MethodOptions) -> str:
        """Return the name of the method with these options in the results table."""
        return self.label(options) if self.label else self.name


METHODS: Registry[Method] = Registry(
    kind="method",
    package="lorafa_prof.methods",
    attribute="METHOD",
    group="lorafa_prof.methods",
    name_of=lambda method: method.name,
)
