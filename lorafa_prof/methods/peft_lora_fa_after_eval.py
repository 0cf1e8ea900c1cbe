"""Peer: PEFT's LoRA-FA in a model whose adapter was switched off and on again before training.

This happens to anyone who evaluates the base for comparison: `create_lorafa_optimizer` freezes A, and leaving
PEFT's `disable_adapter()` makes it require a gradient again, in PEFT 0.21 without a word. Losses and updates
stay the same; the activations that LoRA-FA is there to save are held after all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from lorafa_prof.methods import peft_lora_fa
from lorafa_prof.methods.base import MethodOptions, Prepared, Setting

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def prepare(model: PreTrainedModel, options: MethodOptions, setting: Setting) -> Prepared:
    """Prepare as the method `peft-lora-fa` does, then switch the adapter off and on again.

    Raises:
        UsageError: a target matches nothing, PEFT refuses the options for this model, or the optimizer is not
            adamw.
    """
    prepared = peft_lora_fa.prepare(model, options, setting)
    with cast(Any, prepared.model).disable_adapter():
        pass  # here the base would be evaluated; what the context does to the model does not depend on that
    return prepared


METHOD = replace(
    peft_lora_fa.METHOD,
    name="peft-lora-fa-after-eval",
    summary="peer: peft-lora-fa after an evaluation with the adapter switched off (extra: peft)",
    prepare=prepare,
)
