"""Peer: LoRA-FA as PEFT does it, with PEFT's own optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from lorafa_prof.errors import UsageError
from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.methods.peft_peers import (
    PeftLoraOptions,
    peft_adapter_dtype,
    peft_lora_model,
)
from lorafa_prof.optim.optimizer import LEARNING_RATE

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Wrap `model` by PEFT's LoRA and hand it to PEFT's LoRA-FA optimizer, which freezes A.

    Raises:
        UsageError: a target matches nothing, PEFT refuses the options for this model, or the optimizer is not
            adamw.
    """
    fa_options = cast(PeftLoraOptions, options)
    if setting.optimizer != "adamw":
        raise UsageError(
            f"peft-lora-fa has an AdamW of its own; optimizer '{setting.optimizer}' is not to be had",
            about="optimizer",
        )
    wrapped = peft_lora_model(model, fa_options, setting)
    from peft.optimizers import create_lorafa_optimizer

    optimizer = create_lorafa_optimizer(
        model=cast(Any, wrapped),
        r=fa_options.rank,
        lora_alpha=cast(Any, fa_options.alpha),  # PEFT takes fractions too, whatever its annotation says
        lr=LEARNING_RATE,
    )
    return Prepared(wrapped, optimizer)


METHOD = Method(
    name="peft-lora-fa",
    summary="peer: PEFT's LoRA layers with PEFT's LoRA-FA optimizer (extra: peft)",
    options=PeftLoraOptions,
    prepare=prepare,
    default_adapter_dtype=peft_adapter_dtype,
    shards=False,  # it adds plain tensors to gradients
)
