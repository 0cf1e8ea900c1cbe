"""Making a Llama-shaped decoder's layers run packed: q, k, v are one product, gate and up another."""

from __future__ import annotations

import sys
from types import MethodType
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.packed.attention_input import (
    AttentionInput,
    AttentionInputFunction,
    NormedAttentionInput,
)
from lorafa_prof.layers.packed.copies import Copies
from lorafa_prof.layers.packed.gated import ACTIVATIONS
from lorafa_prof.layers.packed.gated_mlp import GatedMlp, GatedMlpFunction
from lorafa_prof.layers.packed.loss import PackedLoss
from lorafa_prof.layers.packed.norm import NormFunction, as_norm
from lorafa_prof.layers.packed.pack import pack
from lorafa_prof.layers.packed.product import PackedProduct
from lorafa_prof.layers.packed.residual_output import ResidualOutputFunction
from lorafa_prof.models.fused_loss import use_loss_without_logits

#: Types of models (`config.model_type`) whose decoder layers are a norm, queries, keys and values, rotary
#: embedding of whole heads, attention, a product onto the residual, a norm, and a gated MLP onto the
#: residual, and nothing else; whose norms are those of `packed/norm.py`.
LLAMA_SHAPED = ("gemma", "llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3")


def use_packed(trained: nn.Module) -> None:
    """Make the model's decoder layers, its last norm and its loss run packed; names and state_dict stay.

    Raises:
        UsageError: its layers are not Llama-shaped, or something in them cannot be packed.
    """
    model = next((module for module in trained.modules() if isinstance(module, PreTrainedModel)), None)
    if model is None or model.config.model_type not in LLAMA_SHAPED:
        raise _refusal(
            f"has no layers for a {type(model or trained).__name__}, only for models of type "
            f"{', '.join(LLAMA_SHAPED)}; set kernels to liger, fused or eager"
        )
    if getattr(model.config, "partial_rotary_factor", None) not in (None, 1.0):
        raise _refusal("turns whole heads, and this model turns a part of each")
    body: Any = model.base_model
    products = [_pack_layer(layer) for layer in body.layers]
    _pack_norm(body.norm, products[-1][-1].spare)
    copied = [copied for of_layer in products for product in of_layer for copied in product.copied]
    Copies(body, copied)
    use_loss_without_logits(model, PackedLoss(), "packed")


def _refusal(reason: str) -> UsageError:
    return UsageError(f"kernels 'packed' {reason}", about="kernels")


def _pack_layer(layer: Any) -> tuple[PackedProduct, ...]:
    """Pack a decoder layer, and return its products in their order."""
    attention, mlp = layer.self_attn, layer.mlp
    activation = ACTIVATIONS.get(attention.config.hidden_act)
    if activation is None:
        raise _refusal(
            f"has no gated MLP with {attention.config.hidden_act}, only with {', '.join(ACTIVATIONS)}"
        )
    qkv = _pack(attention, "qkv_proj", "q_proj", "k_proj", "v_proj")
    out = _pack(attention, "o_proj")
    gate_up = _pack(mlp, "gate_up_proj", "gate_proj", "up_proj")
    down = _pack(mlp, "down_proj")
    # The gradient of each half's input has room for the adapter of the product that comes before it.
    _pack_attention(layer, qkv, out, spare=down.spare)
    _pack_mlp(layer, GatedMlp(as_norm(layer.post_attention_layernorm), gate_up, activation, down, out.spare))

    def forward(self: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        return cast(Tensor, self.mlp(self.self_attn(hidden_states, **kwargs)))

    layer.forward = MethodType(forward, layer)
    return qkv, out, gate_up, down


def _pack(module: nn.Module, *names: str) -> PackedProduct:
    layers = [layer for layer in (getattr(module, name, None) for name in names) if layer is not None]
    return pack(layers)


def _pack_attention(layer: Any, qkv: PackedProduct, out: PackedProduct, *, spare: int) -> None:
    """Make the layer's attention take its norm and its residual along."""
    attention, norm = layer.self_attn, layer.input_layernorm
    heads = attention.config.num_attention_heads, attention.config.num_key_value_heads
    head_norms = [module.weight for module in _head_norms(attention)]
    if head_norms:
        epsilon = as_norm(attention.q_norm).epsilon
        first: AttentionInput = NormedAttentionInput(as_norm(norm), qkv, *heads, spare, epsilon)
    else:
        first = AttentionInput(as_norm(norm), qkv, *heads, spare)
    eager = sys.modules[type(attention).__module__].eager_attention_forward
    window = getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))

    def attended(
        self: Any,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_embeddings: tuple[Tensor, Tensor] = (),  # type: ignore[assignment]
        past_key_values: Any = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        x, q, k, v = AttentionInputFunction.apply(  # type: ignore[no-untyped-call]
            hidden_states,
            norm.weight,
            *position_embeddings,
            first,
            len(head_norms),
            *head_norms,
            *qkv.arguments(),
        )
        if past_key_values is not None:  # a text is being written
            k, v = past_key_values.update(k, v, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager)
        result, _ = attend(
            self,
            q,
            k,
            v,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
            **({} if window is None else {"sliding_window": window}),
        )
        return result.flatten(2), x

    def forward(self: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        result, x = self.attended(hidden_states, **kwargs)
        return cast(Tensor, ResidualOutputFunction.apply(result, x, out, *out.arguments()))  # type: ignore[no-untyped-call]

    attention.attended = MethodType(attended, attention)
    attention.forward = MethodType(forward, attention)


def _head_norms(attention: nn.Module) -> list[nn.Module]:
    return [module for name, module in attention.named_children() if name in ("q_norm", "k_norm")]


def _pack_mlp(layer: Any, packed: GatedMlp) -> None:
    """Make the layer's MLP take its norm and its residual along."""
    norm = layer.post_attention_layernorm

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        trained = [*packed.gate_up.arguments(), *packed.down.arguments()]
        return cast(Tensor, GatedMlpFunction.apply(hidden_states, norm.weight, self.packed, *trained))  # type: ignore[no-untyped-call]

    layer.mlp.packed = packed
    layer.mlp.forward = MethodType(forward, layer.mlp)


def _pack_norm(norm: Any, spare: int) -> None:
    computes = as_norm(norm)

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        return cast(Tensor, NormFunction.apply(hidden_states, self.weight, computes, spare))  # type: ignore[no-untyped-call]

    norm.forward = MethodType(forward, norm)
