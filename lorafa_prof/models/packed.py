"""Making a Llama-shaped decoder's layers run packed: one product of q, k, v, one of gate and up, adapters inside."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.fused_linear_cross_entropy import IGNORED
from lorafa_prof.layers.packed.attention_input import AttentionInput, AttentionInputFunction
from lorafa_prof.layers.packed.gated import ACTIVATIONS
from lorafa_prof.layers.packed.gated_mlp import GatedMlp, GatedMlpFunction
from lorafa_prof.layers.packed.loss import PackedLossFunction
from lorafa_prof.layers.packed.norm import Norm, NormFunction, as_norm
from lorafa_prof.layers.packed.projection import Projection, pack
from lorafa_prof.layers.packed.residual_output import ResidualOutputFunction

#: Types of models whose decoder layers are a norm, q, k and v, rotary embedding, attention, o, a residual, a norm, gate
#: and up, down, a residual, and nothing else.
LLAMA_SHAPED = ("llama", "mistral", "qwen2", "gemma", "smollm3")


def use_packed(trained: nn.Module) -> None:
    """Make the model's decoder layers, its last norm and its loss run packed; names and state_dict stay.

    Raises:
        UsageError: its layers are not Llama-shaped, or one of them cannot be packed.
    """
    model = next((module for module in trained.modules() if isinstance(module, PreTrainedModel)), None)
    if model is None or model.config.model_type not in LLAMA_SHAPED or not hasattr(model, "lm_head"):
        raise UsageError(
            f"kernels 'packed' has no layers for a {type(model or trained).__name__}, only for causal language "
            f"models of type {', '.join(LLAMA_SHAPED)}; set kernels: liger or fused",
            about="kernels",
        )
    body: Any = model.base_model
    ranks = [_pack_layer(layer) for layer in body.layers]
    norm = as_norm(body.norm)
    body.norm.forward = MethodType(
        lambda self, x: NormFunction.apply(x, self.weight, norm, ranks[-1]), body.norm
    )
    model.forward = MethodType(_forward, model)


def _pack_layer(layer: Any) -> int:
    attention, mlp = layer.self_attn, layer.mlp
    qkv = pack([attention.q_proj, attention.k_proj, attention.v_proj])
    out = pack([attention.o_proj])
    gate_up, down = pack([mlp.gate_proj, mlp.up_proj]), pack([mlp.down_proj])
    width = attention.head_dim
    first, second = as_norm(layer.input_layernorm), as_norm(layer.post_attention_layernorm)
    assert first is not None and second is not None
    heads = [part.base.out_features // width for part in qkv.parts]
    attention_input = AttentionInput(first, qkv, heads[0], heads[1], spare=down.rank)
    gated_mlp = GatedMlp(second, gate_up, ACTIVATIONS[attention.config.hidden_act], down, spare=out.rank)

    def forward(
        self: Any,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = False,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        assert position_embeddings is not None
        x, q, k, v = AttentionInputFunction.apply(
            hidden_states, self.input_layernorm.weight, *position_embeddings, attention_input, *qkv.trained()
        )
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            attention.config._attn_implementation, _eager_attention(attention)
        )
        attended, _ = attend(
            attention,
            q,
            k,
            v,
            attention_mask,
            dropout=attention.attention_dropout if self.training else 0.0,
            scaling=attention.scaling,
            **kwargs,
        )
        x = ResidualOutputFunction.apply(attended.flatten(2), x, out, *out.trained())
        return GatedMlpFunction.apply(
            x, self.post_attention_layernorm.weight, gated_mlp, *gate_up.trained(), *down.trained()
        )

    layer.forward = MethodType(forward, layer)
    return down.rank


def _eager_attention(attention: nn.Module) -> Any:
    import sys

    return sys.modules[type(attention).__module__].eager_attention_forward


def _forward(
    model: Any, *, labels: Tensor, num_items_in_batch: Tensor | int | None = None, **inputs: Any
) -> CausalLMOutput:
    hidden = model.base_model(**inputs).last_hidden_state
    targets = F.pad(labels, (0, 1), value=IGNORED)[:, 1:].reshape(-1)
    count = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    loss = PackedLossFunction.apply(
        hidden.reshape(-1, hidden.shape[-1]), model.lm_head.weight, targets, count, torch.is_grad_enabled()
    )
    return CausalLMOutput(loss=loss)
