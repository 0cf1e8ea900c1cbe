"""A small config of each architecture of transformers, shaped as the published one: fewer, not other, parts.

Every config starts as transformers' own default for its type. Widths and numbers of heads are divided by one
number, so that what must divide what still does, and a head keeps its width. Of layers one of each kind is
left, two at least; experts and vocabulary are few. There is no dropout: CUDA keeps its masks as another type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HEADS = 2
_LAYERS = 2
_EXPERTS = 8
_EXPERTS_PER_TOKEN = 2
_VOCABULARY = 1000
#: Of a recurrence that is computed piece by piece, with padding to whole ones.
_CHUNK = 64
_LEAST_WIDTH = 16
_WIDTHS_DIVIDE_BY = 8

_NUMBER_OF_HEADS = re.compile(
    r"(^|_)(n|num)_(head|query_group|mamba_head|attention_head)s?$|(^|_)attention_heads$|key_value_heads$"
    r"|(^|_)kv_(n_)?heads$|linear_num_(key|value)_heads$|(mamba|index|linear)_(n|num)_heads$|^n_heads$"
)
_WIDTH = re.compile(
    r"(^|_)(hidden_size(_global)?|(attention|expert)_hidden_size|intermediate_size(_mlp)?|ffn_hidden_size"
    r"|d_model|n_embd|n_inner|emb_dim|embedding_(size|dim)|ffn_dim|d_ff|dim_ff|dff|d_inner|d_ssm|feed_forward_size"
    r"|lru_width|word_embed_proj_dim|embed_dim|entity_emb_size|dt_rank|time_step_rank|bottleneck_size)$|^(coordinate|shape)_size$|^dim$|^hidden_dim$"
)
_NUMBER_OF_LAYERS = re.compile(r"(^|_)((n_)?layers?|num_blocks|num_layers_per_stack)$")
_NUMBER_OF_EXPERTS = re.compile(
    r"(^|_)(num_experts|n_routed_experts|num_local_experts|moe_num_experts|zero_expert_num)$"
)
_EXPERTS_OF_A_TOKEN = re.compile(r"experts_per_tok(en)?$|^moe_top_?k$|^moe_k$|^top_k_experts$")
#: The first layers, of another kind than the rest.
_FIRST_LAYERS = frozenset({"first_k_dense_replace", "num_dense_layers"})
_PARTS = ("encoder", "decoder")

#: What a type cannot be built without, and its default leaves out.
_LEFT_OUT: dict[str, dict[str, Any]] = {
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    },
    "dbrx": {"attn_config": {"clip_qkv": 8.0, "kv_n_heads": 8, "rope_theta": 10000.0}},
    "deepseek_v2": {"num_experts_per_tok": 6},
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2},
    "encoder-decoder": {
        "encoder": {"model_type": "bert"},
        "decoder": {"model_type": "bert", "is_decoder": True, "add_cross_attention": True},
        "decoder_start_token_id": 2,
        "pad_token_id": 0,
    },
    "esm": {"vocab_size": 33, "pad_token_id": 1, "mask_token_id": 32},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "lfm2_moe": {"layer_types": [("conv", "full_attention")[n % 4 == 2] for n in range(32)]},
    "longt5": {"decoder_start_token_id": 0},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 8},
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 256,
        "indexer_budget": 2048,
        "indexer_compress_ratio": 32,
    },
    "switch_transformers": {"decoder_start_token_id": 0},
    "t5": {"decoder_start_token_id": 0},
    "xmod": {"default_language": "en_XX"},
}
#: What the rules below do not reach, as small as they make the rest.
_SMALL: dict[str, dict[str, Any]] = {
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "reformer": {"axial_pos_embds_dim": [16, 48], "axial_pos_shape": [8, 8], "max_position_embeddings": 64},
    "zamba2": {"mamba_headdim": 320, "hybrid_layer_ids": [1]},
    # Layers share their weights with the first of their kind, so there are two of it.
    "zamba": {"num_hidden_layers": 4, "layers_block_type": 2 * ["linear_attention", "hybrid"]},
}
#: Into how many heads the published number is divided, where its parts must divide by more.
_HEADS_OF = {"blt": 3, "codegen": 4, "layoutlmv2": 6, "layoutlmv3": 6, "lilt": 6, "mamba2": 8, "reformer": 3}


def small_config(model_type: str) -> PretrainedConfig:
    """Return a small config of this type.

    Raises:
        Exception: whatever transformers raises for a type that has no default config.
    """
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    published = kind(**_LEFT_OUT.get(model_type, {})).to_dict()
    small = _smaller(published, _divisor(published, _HEADS_OF.get(model_type, _HEADS)))
    return kind.from_dict({**small, **_SMALL.get(model_type, {})})


def _divisor(config: Mapping[str, Any], left: int) -> int:
    """The number of heads of the first part that has some, divided by how many are left."""
    for name in ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"):
        for part in _with_parts(config):
            heads = part.get(name)
            if isinstance(heads, int):
                return max(1, heads // left) if heads % left == 0 else heads
    return 16


def _with_parts(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _with_parts(value)


def _smaller(config: Mapping[str, Any], divisor: int) -> dict[str, Any]:
    names = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    layers = next((config[name] for name in names if isinstance(config.get(name), int)), 0)
    kept = _layers_kept(config, layers)
    return {name: _small(name, value, divisor, layers, kept) for name, value in config.items()}


def _layers_kept(config: Mapping[str, Any], layers: int) -> list[int]:
    """The first layer of each kind that lists over layers tell apart, and two at least."""
    lists = [v for v in config.values() if layers and isinstance(v, (list, tuple)) and len(v) == layers]
    kinds: dict[Any, int] = {}
    for index in range(layers):
        kinds.setdefault(tuple(str(each[index]) for each in lists), index)
    kept = sorted(kinds.values())
    return kept if len(kept) >= _LAYERS else sorted({*kept, *range(_LAYERS)})[:_LAYERS]


def _small(name: str, value: Any, divisor: int, layers: int, kept: list[int]) -> Any:
    if isinstance(value, dict):
        if value and layers and all(str(key).isdigit() for key in value):
            settings = {int(key): setting for key, setting in value.items()}
            return {new: settings[old] for new, old in enumerate(kept) if old in settings}
        if name.endswith("config") or name in _PARTS:
            return _smaller(_without_what_all_have(value), divisor)
        return value
    if layers and isinstance(value, (list, tuple)) and len(value) == layers:
        return [_small(name, value[index], divisor, 0, []) for index in kept]
    if isinstance(value, float) and "drop" in name:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return value
    if _NUMBER_OF_EXPERTS.search(name):
        return min(value, _EXPERTS)
    if _EXPERTS_OF_A_TOKEN.search(name):
        return min(value, _EXPERTS_PER_TOKEN)
    if name in _FIRST_LAYERS or name in ("topk_group", "n_group"):
        return min(value, 1)
    if _NUMBER_OF_LAYERS.search(name):
        return min(value, len(kept) or _LAYERS)
    if name in ("chunk_size", "mamba_chunk_size"):
        return min(value, _CHUNK)
    if name.endswith(("vocab_size", "vocab")):
        return min(value, _VOCABULARY)
    if name.endswith(("token_id", "token_index")):
        return min(value, _VOCABULARY - 1)
    if _NUMBER_OF_HEADS.search(name):
        return max(1, value // divisor)
    if _WIDTH.search(name):
        return max(
            min(value, _LEAST_WIDTH), _WIDTHS_DIVIDE_BY * math.ceil(value / divisor / _WIDTHS_DIVIDE_BY)
        )
    return value


def _without_what_all_have(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part's own settings: not all parts take those that every config has."""
    from transformers import PretrainedConfig

    common = PretrainedConfig().to_dict().keys() - {"model_type"}
    return {name: value for name, value in part.items() if name not in common or value}
