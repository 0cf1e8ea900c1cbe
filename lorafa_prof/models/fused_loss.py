"""Making a causal language model compute its loss by `FusedLinearCrossEntropyLoss`, without logits."""

from __future__ import annotations

from types import MethodType
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.fused_linear_cross_entropy import FusedLinearCrossEntropyLoss

#: Types of models (`config.model_type`) whose forward is body, output layer, cross-entropy, and nothing else.
#: What other models do to their logits, such as Gemma 2's soft cap, would silently be left out.
PLAIN = (
    "gemma",
    "gpt2",
    "gpt_neox",
    "llama",
    "mistral",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
    "starcoder2",
)


def use_fused_loss(trained: nn.Module) -> None:
    """Make the model's forward return the fused loss, and None for the logits.

    Without labels it returns logits.

    Args:
        trained: a transformers model, or one that PEFT has wrapped.

    Raises:
        UsageError: its type is not in `PLAIN`, or its output layer has an adapter.
    """
    use_loss_without_logits(trained, FusedLinearCrossEntropyLoss(), "fused-loss")


def use_loss_without_logits(trained: nn.Module, loss: FusedLinearCrossEntropyLoss, kernels: str) -> None:
    """Make the model's forward return this loss, on behalf of `kernels`, as `use_fused_loss` does.

    Raises:
        UsageError: as `use_fused_loss`.
    """
    model = next((module for module in trained.modules() if isinstance(module, PreTrainedModel)), None)
    head = model.get_output_embeddings() if model and model.config.model_type in PLAIN else None
    if model is None or head is None:
        raise UsageError(
            f"kernels '{kernels}' is no loss for a {type(model or trained).__name__}, only for "
            f"causal language models of type {', '.join(PLAIN)}",
            about="kernels",
        )
    if type(head) is not nn.Linear:
        raise UsageError(
            f"kernels '{kernels}' needs the output layer as it is, and it was made a {type(head).__name__}; "
            "leave it out of the adapters' targets",
            about="kernels",
        )
    model.add_module("fused_loss", loss)
    model.forward = MethodType(_forward, model)


def _forward(
    model: Any,
    *,
    labels: Tensor | None = None,
    num_items_in_batch: Tensor | int | None = None,
    **inputs: Any,
) -> CausalLMOutput:
    hidden = model.base_model(**inputs).last_hidden_state
    head = cast(nn.Linear, model.get_output_embeddings())
    if labels is None:  # who asks for no loss wants to know what comes next
        return CausalLMOutput(logits=head(hidden))
    loss = model.fused_loss(hidden, head.weight, head.bias, labels, num_items_in_batch)
    return CausalLMOutput(loss=loss)
