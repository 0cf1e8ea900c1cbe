"""Peer: LoRA as PEFT does it, with the optimizer the scenario names."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lorafa_prof.methods.base import Method, MethodOptions, Prepared, Setting
from lorafa_prof.methods.peft_peers import PeftLoraOptions, peft_adapter_dtype, peft_lora_model
from lorafa_prof.optim.choices import make_optimizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Wrap `model` by PEFT's LoRA.

    Raises:
        UsageError: a target matches nothing, or PEFT refuses the options for this model.
    """
    wrapped = peft_lora_model(model, cast(PeftLoraOptions, options), setting)
    return Prepared(wrapped, make_optimizer(setting.optimizer, wrapped.parameters(), setting.update))


METHOD = Method(
    name="peft-lora",
    summary="peer: PEFT's LoRA layers, PEFT's defaults (extra: peft)",
    options=PeftLoraOptions,
    prepare=prepare,
    default_adapter_dtype=peft_adapter_dtype,
)
