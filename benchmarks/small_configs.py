"""A small config of each text architecture of transformers, shaped as the published one: fewer, not other, parts.

Every config starts as transformers' own default for its type. Widths and numbers of heads are divided by one
number, so that what must divide what still does, and the width of a head stays; layers are one of each kind, two at
least; experts and vocabulary are few.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_HEADS_LEFT = 2
_LAYERS_LEFT = 2
_EXPERTS_LEFT = 8
_VOCABULARY_LEFT = 1000

_NUMBER_OF_HEADS = re.compile(
    r"(^|_)(n|num)_heads?$|(^|_)attention_heads$|(^|_)n_?head$|key_value_heads$|num_kv_heads$"
    r"|linear_num_(key|value)_heads$|num_query_groups$|(^|_)n_mamba_heads$"
)
_WIDTH = re.compile(
    r"(^|_)(hidden_size|intermediate_size(_mlp)?|ffn_hidden_size|d_model|n_embd|n_inner|emb_dim|embedding_size"
    r"|ffn_dim|d_ff|dim_ff|dff|d_inner|d_ssm|hidden_dim|feed_forward_size|lru_width|embedding_dim|word_embed_proj_dim"
    r"|embed_dim|attention_head_dim|entity_emb_size|dt_rank|time_step_rank)$"
)
_NUMBER_OF_LAYERS = re.compile(r"(^|_)(layers?|n_layer|num_blocks|num_layers_per_stack)$")
_NUMBER_OF_EXPERTS = re.compile(
    r"(^|_)(num_experts|n_routed_experts|num_local_experts|moe_num_experts|zero_expert_num)$"
)


def small_config(model_type: str) -> PretrainedConfig:
    """Return a small config of this type.

    Raises:
        whatever transformers raises for a type that has no config of its own default.
    """
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    published = kind().to_dict()
    small = _smaller(published, _divisor(published))
    return kind.from_dict(small)


def _divisor(config: Mapping[str, Any]) -> int:
    for name in ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"):
        for each in _with_parts(config):
            heads = each.get(name)
            if isinstance(heads, int):
                return heads // _HEADS_LEFT if heads % _HEADS_LEFT == 0 else heads
    return 16


def _with_parts(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, Mapping):
            yield from _with_parts(value)


def _smaller(config: dict[str, Any], divisor: int) -> dict[str, Any]:
    layers = next(
        (
            v
            for n, v in config.items()
            if n in ("num_hidden_layers", "n_layer", "num_layers") and isinstance(v, int)
        ),
        0,
    )
    kept = _layers_kept(config, layers)
    return {name: _small(name, value, divisor, layers, kept) for name, value in config.items()}


def _layers_kept(config: Mapping[str, Any], layers: int) -> list[int]:
    """The first layer of each kind that lists over layers name, and two at least."""
    lists = [v for v in config.values() if layers and isinstance(v, (list, tuple)) and len(v) == layers]
    kinds: dict[Any, int] = {}
    for index in range(layers):
        kinds.setdefault(tuple(str(each[index]) for each in lists), index)
    kept = sorted(kinds.values())
    return kept if len(kept) >= _LAYERS_LEFT else sorted({*kept, *range(_LAYERS_LEFT)})[:_LAYERS_LEFT]


def _small(name: str, value: Any, divisor: int, layers: int, kept: list[int]) -> Any:
    if isinstance(value, dict):
        return (
            _smaller(value, divisor) if name.endswith("config") or name in ("encoder", "decoder") else value
        )
    if layers and isinstance(value, (list, tuple)) and len(value) == layers:
        return [value[index] for index in kept]
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return value
    if _NUMBER_OF_EXPERTS.search(name):
        return min(value, _EXPERTS_LEFT)
    if _NUMBER_OF_LAYERS.search(name):
        return min(value, len(kept) or _LAYERS_LEFT)
    if name.endswith("vocab_size"):
        return min(value, _VOCABULARY_LEFT)
    if name.endswith("token_id"):
        return value if value < _VOCABULARY_LEFT else _VOCABULARY_LEFT - 1
    if _NUMBER_OF_HEADS.search(name) or _WIDTH.search(name):
        return max(1, math.ceil(value / divisor))
    return value
