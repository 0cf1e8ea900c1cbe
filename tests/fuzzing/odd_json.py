"""JSON with values that its readers do not expect: configs, and files of results with something exchanged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

JsonPath = tuple[str | int, ...]

ODD: tuple[Any, ...] = (
    None,
    True,
    "",
    "text",
    "a\nb\x00\x1b[31m",
    "\ud800",
    -1,
    0,
    1.5,
    2**63,
    10**30,
    float("nan"),
    float("inf"),
    [],
    {},
    [1],
    ["x"],
    [[]],
    {"a": 1},
    {"packages": 3},
)

CONFIGS: tuple[dict[str, Any], ...] = (
    {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "vocab_size": 100,
        "intermediate_size": 64,
        "num_attention_heads": 4,
    },
    {"model_type": "gpt2", "n_embd": 64, "n_layer": 1, "vocab_size": 100, "n_head": 4},
    {
        "model_type": "roberta",
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "vocab_size": 100,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "max_position_embeddings": 66,
    },
)
CONFIG_FIELDS = (
    "architectures",
    "model_type",
    "max_position_embeddings",
    "n_positions",
    "num_hidden_layers",
    "n_layer",
    "hidden_size",
    "vocab_size",
    "num_attention_heads",
    "num_key_value_heads",
    "num_labels",
    "id2label",
    "pad_token_id",
    "rope_theta",
    "hidden_act",
    "dtype",
    "auto_map",
    "quantization_config",
    "text_config",
    "layer_types",
    "use_cache",
    "tie_word_embeddings",
)


def configs() -> st.SearchStrategy[dict[str, Any]]:
    """A config of a tiny network with up to three odd fields."""
    changes = st.dictionaries(st.sampled_from(CONFIG_FIELDS), st.sampled_from(ODD), min_size=1, max_size=3)
    return st.tuples(st.sampled_from(CONFIGS), changes).map(lambda pair: {**pair[0], **pair[1]})


def mutations(data: Any) -> st.SearchStrategy[Any]:
    """`data` with one to three of its values exchanged or left out, at any depth."""
    places = list(_places(data, ()))
    change = st.tuples(st.sampled_from(places), st.one_of(st.sampled_from(ODD), st.just("<left out>")))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: _changed(data, changes))


def _places(data: Any, path: JsonPath) -> Iterator[JsonPath]:
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from _places(value, (*path, key))


def _changed(data: Any, changes: list[tuple[JsonPath, Any]]) -> Any:
    changed = copy.deepcopy(data)
    for path, value in changes:
        place = changed
        try:
            for part in path[:-1]:
                place = place[part]
            if value == "<left out>":
                del place[path[-1]]
            else:
                place[path[-1]] = value
        except (LookupError, TypeError):
            continue  # an earlier change took it away
    return changed
