"""A third opinion on FLOPs: closed formulas, from shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from lorafa_prof.layers.low_rank_linear import LowRankLinear, is_linear


@dataclass(frozen=True)
class ClosedForm:
    """Products per token (a multiply and an add are 2), for a decoder with all heads of one width.

    Attributes:
        linear_params: weights of all linear layers, the output embedding included: N.
        adapter_params: weights of A and B.
        attention: 4·s·d per layer: the two products of every query with s keys of d channels.
    """

    linear_params: int
    adapter_params: int
    attention: int

    @property
    def forward(self) -> int:
        """2N and the adapters' and attention's own."""
        return 2 * (self.linear_params + self.adapter_params) + self.attention

    @property
    def backward_full(self) -> int:
        """4N: gradients of inputs and of weights; flash attention forms its scores once more: 2.5 times."""
        return 4 * self.linear_params + self.attention * 5 // 2

    @property
    def backward_frozen(self) -> int:
        """2N: gradients of inputs; and 4 per weight of the adapters if both A and B train."""
        return 2 * self.linear_params + 4 * self.adapter_params + self.attention * 5 // 2


def closed_form(model: PreTrainedModel, seq: int) -> ClosedForm:
    """The formulas' terms for a causal language model at `seq` tokens."""
    config = model.config
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    linear = sum(cast(nn.Parameter, m.weight).numel() for m in model.modules() if is_linear(m))
    adapters = sum(
        m.lora_A.numel() + m.lora_B.numel() for m in model.modules() if isinstance(m, LowRankLinear)
    )
    return ClosedForm(linear, adapters, 4 * seq * heads * head_dim * config.num_hidden_layers)
