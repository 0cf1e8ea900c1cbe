"""`checkpointing: full` of packed layers: each half from its input, but for its last product."""

from __future__ import annotations

from dataclasses import replace
from types import MethodType
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.layers.packed.gated_mlp import GatedMlp
from lorafa_prof.layers.recomputing import recomputed


def recompute_packed_halves(trained: nn.Module) -> None:
    """Make packed layers keep what goes into attention and the MLP, and nothing else; leave others alone.

    Of a whole layer the MLP's input would be computed again, and with it the output products of both halves.
    No gradient comes back to the embeddings, unless they train, or nothing does.
    """
    layers = [module for module in trained.modules() if isinstance(module, GradientCheckpointingLayer)]
    packed: Any = [layer for layer in layers if _is_packed(layer)]
    for layer in packed:
        layer.gradient_checkpointing = False
        layer.mlp.packed = replace(layer.mlp.packed, recompute=True)
        _recompute_attention_from_its_input(layer.self_attn)
    if packed and any(parameter.requires_grad for parameter in trained.parameters()):
        # Whoever asks transformers for checkpoints gets embeddings whose output requires one: reentrant ones
        # need that, and these are not.
        cast(PreTrainedModel, trained).disable_input_require_grads()


def _is_packed(layer: nn.Module) -> bool:
    return isinstance(getattr(getattr(layer, "mlp", None), "packed", None), GatedMlp)


def _recompute_attention_from_its_input(attention: Any) -> None:
    attended = attention.attended

    def again(self: Any, hidden_states: Any, **kwargs: Any) -> Any:
        return recomputed(attended, hidden_states, **kwargs)

    attention.attended = MethodType(again, attention)
