"""What LoRA and LoRA-FA share: their options, freezing the base, placing the layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator
from torch import nn

from lorafa_prof.cell import Dtype
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.targets import check_rank, classification_head, find_targets, replace_linears
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
        """The factor s on the low-rank path: α/r, or α/√r with rsLoRA (arXiv 2312.03732)."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


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


def add_adapters(
    model: PreTrainedModel, layer: type[LowRankLinear], options: LowRankOptions, setting: Setting
) -> None:
    """Freeze the base of `model` and replace every target by a `layer`.

    Raises:
        UsageError: a target matches nothing, or the rank is larger than a layer.
    """
    linears = find_targets(model, options.targets)
    check_rank(linears, options.rank)
    freeze_base(model, setting.task)
    replace_linears(
        model,
        linears,
        lambda base: layer(
            base,
            rank=options.rank,
            scale=options.scale,
            dropout=options.dropout,
            adapter_dtype=setting.adapter_dtype,
        ),
    )
    model.train()
