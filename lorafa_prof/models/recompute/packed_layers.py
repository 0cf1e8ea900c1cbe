"""`checkpointing: full` of packed layers: each half from its input, but for its last product."""

from __future__ import annotations

from dataclasses import replace
from types import MethodType
from typing import Any

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.layers.packed.gated_mlp import GatedMlp
from lorafa_prof.layers.recomputing import recomputed


def recompute_packed_halves(trained: nn.Module) -> None:
    """Make packed layers keep what goes into attention and the MLP, and nothing else; leave others alone.

    Of a whole layer the MLP's input would be computed again, and with it the output products of both halves.
    """
    layers = (module for module in trained.modules() if isinstance(module, GradientCheckpointingLayer))
    layer: Any
    for layer in layers:
        packed = getattr(getattr(layer, "mlp", None), "packed", None)
        if not isinstance(packed, GatedMlp):
            continue
        layer.gradient_checkpointing = False
        layer.mlp.packed = replace(packed, recompute=True)
        _recompute_attention_from_its_input(layer.self_attn)


def _recompute_attention_from_its_input(attention: Any) -> None:
    attended = attention.attended

    def again(self: Any, hidden_states: Any, **kwargs: Any) -> Any:
        return recomputed(attended, hidden_states, **kwargs)

    attention.attended = MethodType(again, attention)
