"""What LoRA and LoRA-FA share: their options, freezing the base, placing the layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from torch import nn

from lorafa_prof.cell import Dtype
from lorafa_prof.layers.linear_maps import classification_head
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.low_rank_weight import LowRankWeight, adapt_weight
from lorafa_prof.layers.targets import adaptable, find_targets, in_words
from lorafa_prof.methods.base import MethodOptions, Setting
from lorafa_prof.models.preset import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def canonical_targets(value: Any) -> Any:
    """Return targets in their one form: a list of names becomes the sorted names divided by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return ",".join(sorted({name.strip() for name in value}))
    return value


def scale_of(alpha: float, rank: int, *, rslora: bool) -> float:
    """Return the factor s on the low-rank path: α/r, or α/√r with rsLoRA (arXiv 2312.03732)."""
    return alpha / (math.sqrt(rank) if rslora else rank)


class LowRankOptions(MethodOptions):
    """Options of LoRA and LoRA-FA; the defaults of rank, alpha and dropout are PEFT's."""

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=8.0, gt=0)
    targets: str = "all-linear"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    rslora: bool = False

    _canonical_targets = field_validator("targets", mode="before")(canonical_targets)

    @property
    def scale(self) -> float:
        """The factor s on the low-rank path."""
        return scale_of(self.alpha, self.rank, rslora=self.rslora)


def same_as_base(dtype: Dtype) -> Dtype:
    """Return the adapters' default type: that of the base."""
    return dtype


def freeze_base(model: nn.Module, task: Task) -> None:
    """Freeze all of `model` except for a classifier's head, which is new and so has nothing to keep."""
    model.requires_grad_(False)
    if task == "sequence-classification":
        head = classification_head(model)
        if head:
            head[1].requires_grad_(True)


@dataclass(frozen=True)
class AdapterLayers:
    """What a method puts in linear layers' place, and on weights that a module multiplies by itself."""

    linear: type[LowRankLinear]
    weight: type[LowRankWeight]


def add_adapters(
    model: PreTrainedModel, layers: AdapterLayers, options: LowRankOptions, setting: Setting
) -> tuple[str, ...]:
    """Freeze the base of `model`, give targets an adapter, and return notes on those that cannot have one.

    Raises:
        UsageError: a name matches nothing, or no target can have an adapter of this rank.
    """
    targets, left_out = adaptable(find_targets(model, options.targets), options.rank)
    freeze_base(model, setting.task)
    for path, target in targets.items():
        # Two maps in one are as two of that rank, with the same factor: PEFT gives them twice rank and alpha.
        rank = options.rank * target.matrices
        settings: dict[str, Any] = {
            "rank": rank,
            "scale": scale_of(options.alpha * target.matrices, rank, rslora=options.rslora),
            "dropout": options.dropout,
            "adapter_dtype": setting.adapter_dtype,
        }
        if target.weight_name is None:
            model.set_submodule(path, layers.linear(target.module, **settings))
        else:
            adapter = layers.weight(target.weight, turned=target.turned, **settings)
            adapt_weight(target.module, target.weight_name, adapter)
    model.train()
    return (f"without an adapter: {in_words(left_out)}",) if left_out else ()
