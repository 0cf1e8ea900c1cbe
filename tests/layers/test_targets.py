"""Which linear layers get an adapter."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.targets import RankAt, Targets, adaptable, find_targets, in_words
from lorafa_prof.methods.base import Setting
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.methods.peft_peers import PEFT_TASKS, new_head
from lorafa_prof.models.build import build_model
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import resolve_model

TINY = sorted(name for name in PRESETS if name.startswith("tiny-"))


def build(name: str) -> Any:
    return build_model(
        resolve_model(ModelChoice(name=name)),
        device=torch.device("meta"),
        dtype=torch.float32,
        attention="eager",
        checkpointing="none",
    )


def flat(rank: int) -> RankAt:
    return LowRankOptions(rank=rank).rank_at


def last_names(targets: Targets) -> set[str]:
    return {name.rsplit(".", 1)[-1] for name in targets}


@pytest.mark.parametrize("name", TINY)
def test_all_linear_is_what_peft_calls_so(name: str) -> None:
    task, model = PRESETS[name].task, build(name)
    setting = Setting(task, torch.float32, "adamw")
    config = peft.LoraConfig(
        target_modules="all-linear",
        task_type=PEFT_TASKS[task],
        modules_to_save=new_head(model, setting) or None,
    )
    wrapped = peft.get_peft_model(model, config)
    peers = {
        path.removeprefix("base_model.model.")
        for path, module in wrapped.named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    assert set(find_targets(build(name), "all-linear")) == peers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny-llama", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("tiny-qwen2", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("tiny-gpt2", {"c_attn", "c_proj"}),
        ("tiny-roberta", {"query", "key", "value", "dense"}),
        ("tiny-t5", {"q", "k", "v", "o"}),
    ],
)
def test_attention_is_the_linears_below_an_attention_module(name: str, expected: set[str]) -> None:
    targets = find_targets(build(name), "attention")
    assert last_names(targets) == expected
    assert not [
        path for path in targets if any(part in path for part in ("mlp", "intermediate", "DenseRelu"))
    ]
    # A share of all linears: 4 of 7, of 4 (c_attn, c_proj), of 6, and in T5 of 6 and 10.
    assert len(targets) == {"tiny-gpt2": 4, "tiny-t5": 24}.get(name, 8)


def test_names_choose_by_the_end_of_the_path_in_the_models_order() -> None:
    model = build("tiny-llama")
    assert list(find_targets(model, "v_proj,q_proj")) == [
        f"model.layers.{layer}.self_attn.{name}" for layer in (0, 1) for name in ("q_proj", "v_proj")
    ]
    assert list(find_targets(model, "1.mlp.up_proj")) == ["model.layers.1.mlp.up_proj"]


@pytest.mark.parametrize("name", TINY)
def test_a_classification_head_is_no_target(name: str) -> None:
    model = build(name)
    for head in {"classifier.dense", "classifier.out_proj"} & dict(model.named_modules()).keys():
        assert head not in find_targets(model, "all-linear")
        with pytest.raises(UsageError, match="no linear layer is called"):
            find_targets(model, head)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("tiny-llama", "lm_head"), ("tiny-llama", "embed_tokens"), ("tiny-gpt2", "wpe"), ("tiny-t5", "shared")],
)
def test_output_layer_and_embeddings_are_targets_by_name_alone(name: str, layer: str) -> None:
    model = build(name)
    assert last_names(find_targets(model, layer)) == {layer}
    assert layer not in last_names(find_targets(model, "all-linear"))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("q_prj", r"'q_prj' \(did you mean 'q_proj'\?\); this model has down_proj, embed_tokens"),
        ("q_proj,zzz", "'zzz'; this model has"),
        ("proj", "'proj'"),  # an end of a name is not an end of a path
        ("self_attn", "'self_attn'"),  # no linear layer itself
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(targets: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        find_targets(build("tiny-llama"), targets)
    assert caught.value.about == "targets"


def test_a_rank_above_the_smaller_side_leaves_the_layer_out() -> None:
    targets = find_targets(build("tiny-llama"), "k_proj,down_proj")  # 64 to 32, 176 to 64
    able, left_out = adaptable(targets, flat(32))
    assert (able, left_out) == (targets, {})
    able, left_out = adaptable(targets, flat(33))
    assert last_names(able) == {"down_proj"}
    assert in_words(left_out) == (
        "model.layers.*.self_attn.k_proj (2 weights, 4,096 parameters): rank 33 is above its smaller side, 32"
    )


def test_a_rank_that_no_layer_can_take_is_refused() -> None:
    targets = find_targets(build("tiny-llama"), "k_proj,down_proj")
    with pytest.raises(UsageError, match=r"rank 65 .*down_proj' \(176 to 64\); at most 64") as caught:
        adaptable(targets, flat(65))
    assert caught.value.about == "rank"
