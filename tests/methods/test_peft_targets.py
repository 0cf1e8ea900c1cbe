"""The peers' targets are those that PEFT itself finds, whatever the architecture."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from methods.tiny_training import batch_of, prepare
from small_configs import small
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import ResolvedModel
from lorafa_prof.step import TrainingStep

MIXTURES = ["mixtral", "qwen2_moe", "qwen3_moe"]


def by_hand(resolved: ResolvedModel, **config: Any) -> nn.Module:
    """The model as someone wraps it who uses PEFT without lorafa-prof."""
    base = build_model(
        resolved, device=torch.device("meta"), dtype=torch.float32, attention="sdpa", checkpointing="none"
    )
    return peft.get_peft_model(base, peft.LoraConfig(r=8, task_type="CAUSAL_LM", **config))


def trained(model: nn.Module) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("model_type", MIXTURES)
@pytest.mark.parametrize("targets", ["all-linear", "q_proj,v_proj"])
def test_peft_lora_trains_what_peft_trains(model_type: str, targets: str) -> None:
    resolved = small(model_type)
    config = "all-linear" if targets == "all-linear" else targets.split(",")
    ours = prepare(resolved, "peft-lora", {"targets": targets}, device="meta").model
    assert trained(ours) == trained(by_hand(resolved, target_modules=config))


def test_so_does_the_method_peft_whose_config_says_all_linear() -> None:
    resolved = small("mixtral")
    config = {"peft_type": "LORA", "r": 8, "target_modules": "all-linear"}
    ours = prepare(resolved, "peft", {"config": config}, device="meta").model
    assert trained(ours) == trained(by_hand(resolved, target_modules="all-linear"))


def test_experts_and_router_are_among_them() -> None:
    """Mixtral's, counted from shapes: r8 for each of 4 attention layers, gate, w1, w2, w3 and the router."""
    model = prepare(small("mixtral"), "peft-lora", {"targets": "all-linear"}, device="meta").model
    attention = 8 * (2 * (64 + 64) + 2 * (64 + 32))
    experts = 8 * (8 * 2 * (64 + 2 * 48) + 8 * (48 + 64))
    router = 8 * (64 + 8)
    assert sum(size.numel() for size in trained(model).values()) == 2 * (attention + experts + router)


@pytest.mark.parametrize("method", ["peft-lora", "peft-lora-fa"])
def test_a_mixture_steps_with_adapters_on_its_experts(method: str) -> None:
    resolved = small("mixtral")
    prepared = prepare(resolved, method, {"targets": "all-linear"})
    before = {name: p.detach().clone() for name, p in prepared.model.named_parameters()}
    step = TrainingStep(prepared.model, batch_of(resolved), prepared.optimizer)
    for _ in range(2):
        step.run()
    moved = {name for name, p in prepared.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trained(prepared.model).keys()
    assert any("experts" in name for name in moved)


def test_names_of_layers_that_became_weights_are_known_too() -> None:
    """Mixtral's w1 to w3 are no modules any more; PEFT knows of which weights they became a part."""
    model = prepare(small("mixtral"), "peft-lora", {"targets": "w1,w2,w3"}, device="meta").model
    wrapped = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trained(model)}
    assert wrapped == {"experts", "base_layer"}


@pytest.mark.parametrize("targets", ["q_prj", "q_prj,v_proj"])
def test_a_name_that_nothing_has_is_refused_with_the_nearest(targets: str) -> None:
    with pytest.raises(UsageError, match=r"'q_prj' \(did you mean 'q_proj'\?\)") as caught:
        prepare("tiny-llama", "peft-lora", {"targets": targets}, device="meta")
    assert caught.value.about == "targets"


def test_what_peft_cannot_do_on_experts_is_its_own_line() -> None:
    with pytest.raises(UsageError, match=r"PEFT refuses this model: .*lora_dropout"):
        prepare(small("mixtral"), "peft-lora", {"targets": "all-linear", "dropout": 0.1}, device="meta")


@pytest.mark.parametrize(
    ("model_type", "router"), [("llama4_text", "Llama4Router"), ("phimoe", "PhimoeTopKRouter")]
)
def test_a_router_that_peft_takes_for_a_linear_layer_is_refused_in_one_line(
    model_type: str, router: str
) -> None:
    with pytest.raises(
        UsageError, match=f"PEFT adapts '.*router' and fails there: a {router} computes more than"
    ) as caught:
        prepare(small(model_type), "peft-lora", {"targets": "all-linear"}, device="meta")
    assert caught.value.about == "targets"
    assert trained(prepare(small(model_type), "peft-lora", {"targets": "q_proj"}, device="meta").model)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("q_proj"), "PEFT cannot wrap this model: KeyError: 'q_proj'"),
        (NotImplementedError("not yet"), "PEFT refuses this model: not yet"),
    ],
)
def test_whatever_peft_raises_while_it_wraps_a_model_is_one_line(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(peft, "get_peft_model", failing)
    with pytest.raises(UsageError) as caught:
        prepare("tiny-llama", "peft-lora", device="meta")
    assert str(caught.value) == told


def test_but_memory_that_runs_out_stays_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(peft, "get_peft_model", full)
    with pytest.raises(torch.OutOfMemoryError):
        prepare("tiny-llama", "peft-lora", device="meta")


def test_a_rank_above_a_layers_side_is_pefts_to_judge() -> None:
    """It allows it, as for Qwen2-MoE's gate of the shared expert, which has one output."""
    model = prepare(small("qwen2_moe"), "peft-lora", {"targets": "all-linear"}, device="meta").model
    gates = [size for name, size in trained(model).items() if "shared_expert_gate.lora_B" in name]
    assert gates == [torch.Size([1, 8])] * 2
