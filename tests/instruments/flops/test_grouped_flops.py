"""A mixture of experts' grouped products count what its experts do, one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import MixtralConfig, MixtralForCausalLM

from lorafa_prof.instruments.flops.counter import FlopCount, FlopCounter
from lorafa_prof.instruments.flops.formulas import grouped_flops

LAYERS, HIDDEN, WIDTH, EXPERTS, TOP = 2, 64, 96, 4, 2
BATCH, SEQ = 2, 24
#: Each routed token meets a gate, an up and a down projection of its expert.
OF_EXPERTS = 2 * LAYERS * BATCH * SEQ * TOP * 3 * HIDDEN * WIDTH


def count_mixture(implementation: str, dtype: torch.dtype) -> FlopCount:
    config = MixtralConfig(
        vocab_size=128,
        hidden_size=HIDDEN,
        intermediate_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=EXPERTS,
        num_experts_per_tok=TOP,
        attn_implementation="eager",
        experts_implementation=implementation,
    )
    torch.manual_seed(0)
    model = MixtralForCausalLM(config).to(dtype)
    ids = torch.randint(0, 128, (BATCH, SEQ))
    with FlopCounter(model) as counter:
        counter.phase_started("forward")
        loss = model(input_ids=ids, labels=ids).loss
        counter.phase_ended("forward")
        counter.phase_started("backward")
        loss.backward()
        counter.phase_ended("backward")
    return counter.count()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_grouped_experts_count_as_experts_one_by_one(dtype: torch.dtype) -> None:
    grouped, by_ones = count_mixture("grouped_mm", dtype), count_mixture("eager", dtype)
    assert grouped.by_phase == by_ones.by_phase
    assert grouped.uncounted_products == {}
    experts = {path: flops for path, flops in grouped.by_module.items() if path.endswith("experts")}
    assert len(experts) == LAYERS
    assert sum(forward for forward, _ in experts.values()) == OF_EXPERTS
    assert sum(backward for _, backward in experts.values()) == 2 * OF_EXPERTS


def test_each_form_of_a_grouped_product_counts_its_groups_alone() -> None:
    offsets = torch.tensor([16, 48], dtype=torch.int32)
    m, tokens, n = 32, 48, 64
    for shapes in (
        ((tokens, m), (2, m, n)),
        ((m, tokens), (tokens, n)),
        ((2, m, n), (n, tokens)),
    ):
        a, b = (torch.rand(shape, dtype=torch.bfloat16) for shape in shapes)
        out: Tensor = torch._grouped_mm(a, b.transpose(-2, -1).contiguous().transpose(-2, -1), offs=offsets)
        assert grouped_flops(a, b) == 2 * m * tokens * n, (shapes, out.shape)
    assert grouped_flops(torch.rand(2, m, tokens), torch.rand(2, tokens, n)) == 2 * 2 * m * tokens * n
