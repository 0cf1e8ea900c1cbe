"""A third opinion on FLOPs: closed formulas of the shapes, exact for the products of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LowRankLinear, is_linear

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EAGER_BACKWARD = 2.0
FUSED_BACKWARD = 2.5
"""Attention's backward over its forward: two products for each; a fused kernel forms the scores once more."""


@dataclass(frozen=True)
class Weights:
    """Numbers of weights of some linear layers: their own, and those of their adapters' A and B."""

    base: int
    a: int = 0
    b: int = 0


@dataclass(frozen=True)
class ClosedForm:
    """FLOPs of the matrix products of a step, for a decoder with adapters on all its linears, or on none.

    A multiply and an add are 2. A product with a weight costs 2 per token and weight, and so does each of its
    two gradients.

    Attributes:
        tokens: batch times sequence.
        all: all linear layers, the output embedding included: 2 · tokens · all.base is the well-known 2N.
        first: those of them that read the embeddings: the first block's queries, keys and values. With
            frozen embeddings the gradient of their inputs is not needed.
        attention: 4·s·d per token and layer: the two products of every query with s keys of d channels.
        rotary: positions times frequencies; once per step, and without a gradient.
        attention_backward: EAGER_BACKWARD or FUSED_BACKWARD.
    """

    tokens: int
    all: Weights
    first: Weights
    attention: int
    rotary: int
    attention_backward: float

    @property
    def forward(self) -> int:
        """FLOPs of forward: 2N, and those of the adapters, of attention and of the rotary table."""
        weights = self.all.base + self.all.a + self.all.b
        return 2 * self.tokens * weights + self.attention + self.rotary

    @property
    def backward_full(self) -> int:
        """FLOPs of backward in full fine-tuning: 4N, for the gradients of all weights and of all inputs.

        The inputs' gradients include that of the embeddings' outputs.
        """
        return 4 * self.tokens * self.all.base + self._attention_backward

    @property
    def backward_lora(self) -> int:
        """FLOPs of backward with LoRA: 2N for inputs; 4 per adapter weight, as in full fine-tuning."""
        return self.backward_lora_fa + 2 * self.tokens * self.all.a + 2 * self.tokens * self.first.b

    @property
    def backward_lora_fa(self) -> int:
        """FLOPs of backward with LoRA-FA: 2N for inputs; 4 per weight of B; 2 per weight of A.

        The gradient of A itself is not formed.
        """
        inputs = self.all.base + self.all.a + self.all.b - self.first.base - self.first.a - self.first.b
        return 2 * self.tokens * (inputs + self.all.b) + self._attention_backward

    @property
    def _attention_backward(self) -> int:
        return int(self.attention * self.attention_backward)


def closed_form(
    model: PreTrainedModel, batch: int, seq: int, *, attention_backward: float = EAGER_BACKWARD
) -> ClosedForm:
    """Return the formulas for a causal language model whose blocks are attention and MLP in turn.

    It may have this package's adapters on all its linears, or none.
    """
    config = model.config
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    frequencies = sum(b.numel() for name, b in model.named_buffers() if name.rpartition(".")[2] == "inv_freq")
    layers = _linears(model)
    return ClosedForm(
        tokens=batch * seq,
        all=_count(layers),
        first=_count(_leading(layers, config.hidden_size * head_dim * (heads + 2 * groups))),
        attention=4 * batch * seq**2 * heads * head_dim * config.num_hidden_layers,
        rotary=2 * seq * frequencies,
        attention_backward=attention_backward,
    )


def _linears(model: nn.Module) -> list[nn.Module]:
    """Return adapted and plain linear layers in the order in which the model defines them."""
    bases = {module.base for module in model.modules() if isinstance(module, LowRankLinear)}
    return [m for m in model.modules() if isinstance(m, LowRankLinear) or (is_linear(m) and m not in bases)]


def _leading(layers: list[nn.Module], weights: int) -> list[nn.Module]:
    """Return the first layers that together have `weights` weights.

    They are one fused layer, or queries, keys and values apart.
    """
    for count in range(len(layers)):
        if _count(layers[:count]).base == weights:
            return layers[:count]
    raise ValueError("the first linear layers are not the queries, keys and values of a first block")


def _count(layers: list[nn.Module]) -> Weights:
    adapted = [layer for layer in layers if isinstance(layer, LowRankLinear)]
    return Weights(
        base=sum(cast(Tensor, layer.weight).numel() for layer in layers),
        a=sum(layer.lora_A.numel() for layer in adapted),
        b=sum(layer.lora_B.numel() for layer in adapted),
    )
