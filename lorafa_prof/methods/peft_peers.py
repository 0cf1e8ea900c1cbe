"""What the PEFT peers share: wrapping a model with PEFT's own layers, in the adapter type asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field, field_validator
from torch import nn

from lorafa_prof.cell import Dtype
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.targets import check_rank, find_targets
from lorafa_prof.methods.base import MethodOptions, Setting
from lorafa_prof.methods.low_rank import canonical_targets
from lorafa_prof.methods.peft_quantized import register_stand_ins
from lorafa_prof.models.preset import Task
from lorafa_prof.words.phrases import one_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PEFT_TASKS: dict[Task, str] = {
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
    "sequence-classification": "SEQ_CLS",
}


class PeftLoraOptions(MethodOptions):
    """Options of PEFT's LoRA; the defaults are PEFT's own, targets included (None: PEFT's choice)."""

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=8.0, gt=0)
    targets: str | None = None
    dropout: float = Field(default=0.0, ge=0, lt=1)
    rslora: bool = False

    _canonical_targets = field_validator("targets", mode="before")(canonical_targets)

    @property
    def scale(self) -> float:
        """The factor on the low-rank path, as PEFT computes it."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


def peft_adapter_dtype(dtype: Dtype) -> Dtype:
    """Return PEFT's default adapter type for a base of type `dtype`: float32 for 16-bit, else the base's.

    PEFT calls this `autocast_adapter_dtype=True`.
    """
    return "fp32" if dtype in ("bf16", "fp16") else dtype


def require_peft() -> Any:
    """Return the module `peft`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise UsageError(f"PEFT peers need the extra: pip install 'lorafa-prof[peft]' ({error})") from error
    return peft


def add_peft_adapter(model: PreTrainedModel, config: Any, adapter_dtype: torch.dtype) -> nn.Module:
    """Wrap `model` by PEFT, with adapters stored in `adapter_dtype`.

    Args:
        model: a model without adapters.
        config: a `peft.PeftConfig`.
        adapter_dtype: the type that PEFT's automatic cast would give, or another; set after that cast.

    Raises:
        UsageError: PEFT refuses the config for this model, or its adapter goes beside no quantized base.
    """
    peft = require_peft()
    register_stand_ins(config, model)
    try:
        wrapped = peft.get_peft_model(model, config)
    except (ValueError, TypeError) as error:
        raise UsageError(f"PEFT refuses this model: {one_line(str(error))}") from error
    prefix = getattr(wrapped.base_model, "prefix", None)  # "lora_", "vera_", …; prompt methods have none
    for name, parameter in wrapped.named_parameters():
        if prefix and prefix in name and parameter.is_floating_point():
            parameter.data = parameter.data.to(adapter_dtype)
    for layer in wrapped.modules():
        if isinstance(layer, peft.tuners.tuners_utils.BaseTunerLayer):
            for name, buffer in layer.named_buffers():  # such as the fixed matrices of VeRA
                if buffer.is_floating_point() and not name.startswith("base_layer."):
                    buffer.data = buffer.data.to(adapter_dtype)
    wrapped.train()
    return wrapped  # type: ignore[no-any-return]


def peft_lora_model(model: PreTrainedModel, options: PeftLoraOptions, setting: Setting) -> nn.Module:
    """Wrap `model` by PEFT's LoRA.

    Raises:
        UsageError: a target matches nothing, or the rank is larger than a layer.
    """
    peft = require_peft()
    targets = None
    if options.targets is not None:
        linears = find_targets(model, options.targets)
        check_rank(linears, options.rank)
        targets = list(linears)
    config = peft.LoraConfig(
        task_type=PEFT_TASKS[setting.task],
        r=options.rank,
        lora_alpha=options.alpha,
        target_modules=targets,
        lora_dropout=options.dropout,
        use_rslora=options.rslora,
    )
    return add_peft_adapter(model, config, setting.adapter_dtype)
