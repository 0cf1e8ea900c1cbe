"""`checkpointing: full` of packed layers: each half from its input, without the products that nothing in backward needs."""

from __future__ import annotations

from dataclasses import replace
from types import MethodType
from typing import Any

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from lorafa_prof.layers.packed.gated_mlp import GatedMlp
from lorafa_prof.layers.recomputing import recomputed


def recompute_packed_halves(trained: nn.Module) -> None:
    """Make packed layers keep what goes into attention and into the MLP, and not the rest; leave others as they are.

    Of whole layers, the input of the MLP would be computed again too, and with it the output products of both.
    """
    for layer in trained.modules():
        packed = getattr(getattr(layer, "mlp", None), "packed", None)
        if not isinstance(layer, GradientCheckpointingLayer) or not isinstance(packed, GatedMlp):
            continue
        layer.gradient_checkpointing = False
        layer.mlp.packed = replace(packed, recompute=True)
        _recompute_attention_from_its_input(layer.self_attn)


def _recompute_attention_from_its_input(attention: Any) -> None:
    attended = attention.attended

    def again(self: Any, hidden_states: Any, **kwargs: Any) -> Any:
        return recomputed(attended, hidden_states, **kwargs)

    attention.attended = MethodType(again, attention)
