from __future__ import annotations

from typing import Any

import pytest
from cells import TWIN
from tiny_cells import METHOD_NAMES, tiny_cell

from lorafa_prof.cell import MethodChoice, ModelChoice
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.scenario.select import cell_settings, selectable_keys, selects

LORA = tiny_cell(method="lora", device=TWIN, max_grad_norm=1.0)
DORA: dict[str, Any] = {"config": {"peft_type": "LORA", "r": 4, "use_dora": True}, "tag": "dora"}
CELLS = [
    *(tiny_cell(method=name) for name in METHOD_NAMES),
    tiny_cell(seq=8, lengths=(4, 8, 2)),
    tiny_cell(instruments=("fidelity",)),
    LORA,
    LORA.model_copy(update={"model": ModelChoice(name="x", weights="pretrained", trust_remote_code=True)}),
    LORA.model_copy(update={"method": MethodChoice(name="peft", options=DORA)}),
]


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        ({}, True),
        ({"model": "tiny-llama"}, True),
        ({"model": "tiny-gpt2"}, False),
        ({"method": "lora"}, True),
        ({"method": ["lora-fa", "lora"]}, True),
        ({"method": "lora-fa"}, False),
        ({"method": "lora", "batch": 3}, False),
        ({"method": []}, False),
        ({"rank": 4}, True),
        ({"rank": [8, 64]}, False),
        ({"rank": "4"}, False),
        ({"rank": True}, False),
        ({"alpha": 8}, True),
        ({"seq": 48, "dtype": "fp32", "max_grad_norm": 1}, True),
        ({"device": "sim:h100-80gb", "gpu": ["b200", "h100-80gb"]}, True),
        ({"gpu": "NVIDIA H100 80GB HBM3"}, True),
        ({"device": "sim:H100 80GB"}, True),
        ({"gpu": "NVIDIA H100 PCIe"}, False),
        ({"gpu": None}, False),
        ({"weights": "random"}, True),
        ({"weights": "pretrained"}, False),
        ({"trust_remote_code": True}, False),
        ({"config": {"r": 4}}, False),
    ],
)
def test_a_rule_matches_by_all_of_its_keys_each_by_any_of_its_values(rule, matches):
    assert selects(rule, LORA) is matches


def test_an_instrument_selects_the_cells_that_have_it_and_a_list_those_that_have_just_these():
    asked = LORA.model_copy(update={"instruments": ("fidelity",)})
    for rule in ({"instruments": "fidelity"}, {"instruments": ["fidelity"]}, {"instruments": [["fidelity"]]}):
        assert selects(rule, asked)
        assert not selects(rule, LORA)
    assert selects({"instruments": [[]]}, LORA)
    assert not selects({"instruments": [[]]}, asked)


def test_a_shard_selects_those_that_are_sharded_so_whatever_it_leaves_unsaid():
    sharded = LORA.model_copy(update={"parallel": "fsdp2", "gpus": 2, "shard": Shard(mp="bf16")})
    assert selects({"shard": {"mp": "bf16"}}, sharded)
    assert selects({"shard": [{"mp": "none"}, {"mp": "bf16", "offload": "none"}]}, sharded)
    assert not selects({"shard": {"mp": "none"}}, sharded)
    assert not selects({"shard": {"mp": "bf16", "offload": "cpu"}}, sharded)
    assert not selects({"shard": {"no such": 1}}, sharded)
    assert not selects({"shard": {"mp": "none"}}, LORA), "it is not sharded"


def test_an_option_means_what_it_means_to_the_method():
    options = {**LORA.method.options, "targets": "k_proj,q_proj"}
    two = LORA.model_copy(update={"method": MethodChoice(name="lora", options=options)})
    assert selects({"targets": "q_proj, k_proj"}, two)
    assert not selects({"targets": ["q_proj", "k_proj"]}, two), "a list is of alternatives"


def test_a_number_selects_no_run_and_a_run_no_other():
    run, longest = tiny_cell(seq=8, lengths=(4, 8, 2)), tiny_cell(seq=8)
    assert not selects({"seq": 8}, run)
    assert not selects({"seq": {"lengths": [4, 8, 2]}}, longest)
    assert not selects({"seq": {"lengths": [8, 4, 2]}}, run)
    assert not selects({"seq": {"length": [4, 8, 2]}}, run)
    assert selects({"seq": [8, {"lengths": [4, 8, 2]}]}, run)


def test_a_rank_selects_no_cell_that_has_none():
    full = tiny_cell(method="full-ft")
    assert not selects({"rank": 4}, full)
    assert not selects({"rank": None}, full)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.cell_id)
def test_a_cell_is_selected_by_each_of_its_settings_and_all_of_them(cell):
    settings = cell_settings(cell)
    assert settings.keys() <= selectable_keys()
    for key, value in settings.items():
        assert selects({key: value}, cell), key
    assert selects(settings, cell)


def test_what_means_nothing_to_a_method_is_none_of_its_settings():
    full, lora = cell_settings(tiny_cell(method="full-ft")), cell_settings(LORA)
    assert not {"rank", "targets", "dropout", "adapter_dtype", "config"} & full.keys()
    assert {"rank", "targets", "dropout", "adapter_dtype"} <= lora.keys()
    assert {**full, "method": "lora"}.items() - lora.items() == {
        ("device", "cpu"),
        ("gpu", None),
        ("max_grad_norm", None),
    }


def test_cells_of_one_sweep_that_are_not_the_same_differ_in_a_setting():
    others: list[dict[str, Any]] = [
        {"model": ModelChoice(name="tiny-llama", weights="pretrained")},
        {"model": ModelChoice(name="tiny-llama", trust_remote_code=True)},
        {"batch": 9},
        {"accumulation": 2},
        {"padding": 0.5},
        {"max_grad_norm": None},
        {"update": "backward"},
        {"kernels": "liger"},
    ]
    for update in others:
        assert cell_settings(LORA.model_copy(update=update)) != cell_settings(LORA), update
