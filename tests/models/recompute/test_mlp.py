"""`checkpointing: mlp`: what runs again, in how many layers, and which models have no MLP that is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import step_of
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.models.recompute.mlp import recompute_mlps


@pytest.mark.parametrize(("share", "again"), [(1.0, [0, 1, 2, 3]), (0.5, [1, 3]), (0.25, [3]), (0.01, [3])])
def test_gate_and_up_run_twice_and_down_once(share: float, again: list[int]) -> None:
    model = _llama(layers=4)
    runs: dict[str, int] = {}
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda *args, name=name: runs.update({name: runs.get(name, 0) + 1}))
    recompute_mlps(model, share)
    model(input_ids=torch.arange(8)[None]).logits.sum().backward()
    for layer in range(4):
        times = 1 + (layer in again)
        parts = {
            name: runs[f"model.layers.{layer}.mlp.{name}"] for name in ("gate_proj", "up_proj", "down_proj")
        }
        assert parts == {"gate_proj": times, "up_proj": times, "down_proj": 1}


def test_what_a_gpt2_drops_after_its_mlp_is_kept() -> None:
    """So backward does not come to the last product, which the mask is behind of."""
    prepared, step = step_of("tiny-gpt2", "lora-fa")
    runs = []
    for module in prepared.model.modules():
        if type(module).__name__ == "GPT2MLP":
            module.c_proj.register_forward_pre_hook(lambda *args: runs.append(1))
    recompute_mlps(prepared.model)
    step.run()
    assert len(runs) == prepared.model.config.n_layer


@pytest.mark.parametrize("make", ["roberta", "mixtral"])
def test_a_model_whose_mlps_are_not_known(make: str) -> None:
    model: Any = step_of("tiny-roberta", "lora-fa")[0].model if make == "roberta" else _mixtral()
    with pytest.raises(
        UsageError, match=r"'mlp' knows modules with gate_up_proj and down_proj, .* or with experts"
    ):
        recompute_mlps(model)


def _llama(*, layers: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            num_hidden_layers=layers,
            hidden_size=16,
            intermediate_size=32,
            num_attention_heads=2,
            vocab_size=32,
        )
    )


def _mixtral() -> nn.Module:
    from transformers import MixtralConfig, MixtralForCausalLM

    return MixtralForCausalLM(
        MixtralConfig(
            num_hidden_layers=1,
            hidden_size=16,
            intermediate_size=32,
            num_attention_heads=2,
            num_key_value_heads=2,
            vocab_size=32,
        )
    )
