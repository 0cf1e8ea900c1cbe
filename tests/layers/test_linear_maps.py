"""The linear maps of models that are more than a row of linear layers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from small_configs import small

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.linear_maps import LinearMap
from lorafa_prof.layers.targets import RankAt, adaptable, find_targets, in_words
from lorafa_prof.methods.low_rank_options import LowRankOptions
from lorafa_prof.models.build import build_model

EAGER = ("mamba", "mamba2", "gpt_oss")


def build(model_type: str, **more: Any) -> Any:
    return build_model(
        small(model_type, **more),
        device=torch.device("meta"),
        dtype=torch.float32,
        attention="eager" if model_type in EAGER else "sdpa",
        checkpointing="none",
    )


def maps_of(model_type: str, **more: Any) -> dict[str, LinearMap]:
    return find_targets(build(model_type, **more), "all-linear")


def flat(rank: int) -> RankAt:
    return LowRankOptions(rank=rank).rank_at


def kinds(maps: dict[str, LinearMap], *, with_obstacle: bool) -> set[str]:
    """The last names of those that have an obstacle, or have none."""
    return {path.rsplit(".", 1)[-1] for path, found in maps.items() if bool(found.obstacle) == with_obstacle}


# hidden 64, experts' width 48 or 32: sides of (gate and up in one, down)
@pytest.mark.parametrize(
    ("model_type", "router", "up", "down", "turned"),
    [
        ("mixtral", "gate", (64, 96), (48, 64), False),
        ("qwen3_moe", "gate", (64, 64), (32, 64), False),
        ("deepseek_v3", "gate", (64, 64), (32, 64), False),
        ("gpt_oss", "router", (64, 96), (48, 64), True),  # says so itself
        ("llama4_text", None, (64, 96), (48, 64), True),  # does not: told by the sides
    ],
)
def test_weights_of_experts_and_routers_are_maps(
    model_type: str, router: str | None, up: tuple[int, int], down: tuple[int, int], turned: bool
) -> None:
    maps = maps_of(model_type)
    weights = {path.rsplit(".", 1)[-1]: found for path, found in maps.items() if found.weight_name}
    sides = {name: (found.in_features, found.out_features) for name, found in weights.items()}
    wanted = {"gate_up_proj": up, "down_proj": down} | ({router: (64, 8)} if router else {})
    assert sides == wanted
    assert {name for name, found in weights.items() if found.turned} == (
        {"gate_up_proj", "down_proj"} if turned else set()
    )
    assert {name for name, found in weights.items() if found.matrices == 2} == {"gate_up_proj"}


@pytest.mark.parametrize("model_type", ["jetmoe", "aria_text"])
def test_modules_of_one_weight_for_each_expert_say_how_it_lies(model_type: str) -> None:
    weights = [found for found in maps_of(model_type).values() if found.weight_name]
    stated = {"jetmoe": ("input_size", "output_size"), "aria_text": ("in_features", "out_features")}[
        model_type
    ]
    for found in weights:
        if found.weight.dim() == 3:
            sides = (found.in_features, found.out_features)
            assert sides == tuple(getattr(found.module, name) for name in stated)
    assert weights


@pytest.mark.parametrize(
    ("model_type", "read"),
    [
        ("mamba", {"x_proj", "dt_proj", "out_proj"}),
        ("mamba2", {"out_proj"}),
        ("bamba", {"out_proj"}),
        ("falcon_h1", {"out_proj"}),
        ("granitemoehybrid", {"out_proj"}),
        ("nemotron_h", {"out_proj"}),
        ("zamba2", {"out_proj"}),
        ("jamba", {"dt_proj"}),
    ],
)
def test_layers_whose_weight_a_mixer_reads_past_them_are_left_out(model_type: str, read: set[str]) -> None:
    maps = maps_of(model_type)
    assert kinds(maps, with_obstacle=True) == read
    assert "in_proj" in kinds(maps, with_obstacle=False)
    assert all(
        found.obstacle.endswith("reads its weight, past the layer")
        for found in maps.values()
        if found.obstacle
    )


@pytest.mark.parametrize(
    ("model_type", "router"), [("llama4_text", "Llama4Router"), ("phimoe", "PhimoeTopKRouter")]
)
def test_a_router_that_is_more_than_a_linear_layer_is_left_out(model_type: str, router: str) -> None:
    maps = maps_of(model_type)
    assert {found.obstacle for found in maps.values()} - {None} == {
        f"a {router} computes more than a linear map"
    }
    assert kinds(maps, with_obstacle=True) == {"router"}


def test_a_linear_layer_of_a_class_of_its_own_is_one_if_it_computes_as_one() -> None:
    """Falcon's, whose class writes the same product in another way."""
    maps = maps_of("falcon")
    assert {type(found.module).__name__ for found in maps.values()} == {"FalconLinear"}
    assert not kinds(maps, with_obstacle=True)


def test_experts_in_one_matrix_are_left_out() -> None:
    maps = maps_of("dbrx")
    assert kinds(maps, with_obstacle=True) == {"w1", "v1", "w2"}
    _, left_out = adaptable(maps, flat(8))
    assert re.search(
        r"experts\.mlp\.w1 \(2 weights, 32,768 parameters\): DbrxExpertGLU keeps the weights of all",
        in_words(left_out),
    )


def test_names_choose_weights_as_they_choose_layers() -> None:
    model = build("mixtral")
    assert set(find_targets(model, "gate,experts.down_proj")) == {
        f"model.layers.{layer}.mlp.{name}" for layer in (0, 1) for name in ("gate", "experts.down_proj")
    }


def test_two_maps_in_one_have_twice_the_rank() -> None:
    maps = maps_of("mixtral")
    assert adaptable(maps, flat(8)) == (maps, {})  # the router has 8 outputs
    _, left_out = adaptable(maps, flat(40))
    assert kinds(left_out, with_obstacle=True) == {"gate", "gate_up_proj", "k_proj", "v_proj"}
    assert "rank 80 is above its smaller side, 64" in in_words(left_out)


def test_targets_that_all_have_an_obstacle_are_an_error_that_says_it() -> None:
    targets = find_targets(build("llama4_text"), "router")
    with pytest.raises(
        UsageError, match=r"no target can have an adapter: .*Llama4Router computes more"
    ) as caught:
        adaptable(targets, flat(1))
    assert caught.value.about == "targets"


def test_a_model_without_any_of_the_targets_is_an_error() -> None:
    with pytest.raises(UsageError, match="no linear layer of these targets"):
        adaptable(find_targets(build("mamba"), "attention"), flat(8))
