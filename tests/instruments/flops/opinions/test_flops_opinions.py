"""Independent counts of the same step agree to the last operation, or differ by a term that has a name."""

from __future__ import annotations

import sys

import pytest
import torch
from tiny_cells import BATCH, SEQ, TOKENS, step_of
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.flops.counter import FlopCount, FlopCounter
from lorafa_prof.instruments.flops.opinions.by_fvcore import fvcore_forward_flops
from lorafa_prof.instruments.flops.opinions.closed_form import closed_form
from lorafa_prof.methods.base import Prepared
from lorafa_prof.step import TrainingStep

CAUSAL = ["tiny-llama", "tiny-gpt2", "tiny-qwen2", "tiny-mistral"]
# With its dropout GPT-2 takes the unfused path of sdpa on the CPU.
UNFUSED = {"tiny-gpt2"}


def count_step(prepared: Prepared, step: TrainingStep) -> FlopCount:
    with FlopCounter(prepared.model) as counter:
        step.run((counter,))
    return counter.count()


@pytest.mark.parametrize("family", CAUSAL)
def test_three_opinions_on_forward_are_one(family: str) -> None:
    prepared, step = step_of(family, "full-ft", attention="eager")
    forward = count_step(prepared, step).by_phase["forward"]
    by_fvcore = fvcore_forward_flops(prepared.model, step.inputs)
    assert forward == sum(by_fvcore.values()) == closed_form(prepared.model, BATCH, SEQ).forward
    assert by_fvcore == {
        path: products.forward for path, products in closed_form(prepared.model, BATCH, SEQ).by_module.items()
    }


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
@pytest.mark.parametrize("family", CAUSAL)
def test_closed_form_is_exact_for_every_method_and_module(family: str, method: str, attention: str) -> None:
    prepared, step = step_of(family, method, attention=attention)
    counted = count_step(prepared, step)
    fused = attention == "sdpa" and family not in UNFUSED
    form = closed_form(prepared.model, BATCH, SEQ, fused=fused)
    assert (form.forward, form.backward) == (counted.by_phase["forward"], counted.by_phase["backward"])
    assert form.by_module == {path: flops for path, flops in counted.by_module.items() if any(flops)}


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("targets", ["q_proj,v_proj", "k_proj", "o_proj", "up_proj", "down_proj"])
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_no_gradient_goes_where_nothing_trains(method: str, targets: str, attention: str) -> None:
    prepared, step = step_of("tiny-llama", method, attention=attention, targets=targets)
    counted = count_step(prepared, step)
    form = closed_form(prepared.model, BATCH, SEQ, fused=attention == "sdpa")
    assert form.by_module == {path: flops for path, flops in counted.by_module.items() if any(flops)}


@pytest.mark.parametrize(("peer", "method"), [("peft-lora", "lora"), ("peft-lora-fa", "lora-fa")])
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2"])
def test_peft_executes_the_same_products(family: str, peer: str, method: str) -> None:
    theirs, ours = (count_step(*step_of(family, name)).by_phase for name in (peer, method))
    assert (theirs["forward"], theirs["backward"]) == (ours["forward"], ours["backward"])


def test_full_is_six_n_and_frozen_four_n_but_for_named_terms() -> None:
    """tiny-llama by hand: 2 layers of h = 64, i = 176, 4 heads of 16 and 2 groups; 256 words."""
    layer_n = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 176
    n = 2 * layer_n + 64 * 256
    attention = 2 * (4 * TOKENS * SEQ * 64)
    rotary = 2 * SEQ * 8
    full = count_step(*step_of("tiny-llama", "full-ft", attention="eager"))
    assert full.step == 6 * n * TOKENS + 3 * attention + rotary

    a = 2 * 4 * (6 * 64 + 176)
    b = 2 * 4 * (64 + 32 + 32 + 64 + 176 + 176 + 64)
    # Nobody asks for the gradient of the embeddings' output: the first queries, keys and values pass none on.
    first = 64 * (64 + 32 + 32) + 3 * 4 * 64 + 4 * (64 + 32 + 32)
    frozen = count_step(*step_of("tiny-llama", "lora-fa", attention="eager"))
    expected = 4 * n + 4 * a + 6 * b - 2 * first
    assert (
        frozen.by_phase["forward"] + frozen.by_phase["backward"] == expected * TOKENS + 3 * attention + rotary
    )


def test_a_bigger_preset_by_shapes_alone() -> None:
    prepared, step = step_of("gpt2", "full-ft", device="meta", attention="eager", batch=1, seq=64)
    # transformers looks into a mask of zeros and ones, and takes one of this shape as it is.
    inputs = {**step.inputs, "attention_mask": torch.zeros(1, 1, 64, 64, device="meta")}
    counted = count_step(prepared, TrainingStep(prepared.model, inputs, prepared.optimizer)).by_phase
    form = closed_form(prepared.model, 1, 64)
    assert counted["forward"] == form.forward == sum(fvcore_forward_flops(prepared.model, inputs).values())
    assert counted["backward"] == form.backward
    assert form.two_n == 2 * 64 * (12 * (12 * 768**2) + 768 * 50257)


def test_fvcore_does_not_see_into_fused_attention() -> None:
    """Why its opinion is asked on eager attention."""
    prepared, step = step_of("tiny-llama", "full-ft", attention="sdpa")
    form = closed_form(prepared.model, BATCH, SEQ)
    seen = fvcore_forward_flops(prepared.model, step.inputs)
    missed = {path for path, products in form.by_module.items() if products.forward != seen.get(path)}
    assert missed == {"model.layers.0.self_attn", "model.layers.1.self_attn"}


def test_without_fvcore_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fvcore.nn", None)
    with pytest.raises(UsageError, match=r"lorafa-prof\[flops\]"):
        fvcore_forward_flops(nn.Identity(), {})


def test_the_gradient_of_the_embeddings_output_costs_the_first_block_its_inputs_gradients() -> None:
    prepared, _ = step_of("tiny-llama", "lora-fa")
    without, with_it = (closed_form(prepared.model, BATCH, SEQ, gradient=each) for each in (False, True))
    first = 64 * (64 + 32 + 32) + 3 * 4 * 64 + 4 * (64 + 32 + 32)
    assert with_it.backward - without.backward == 2 * TOKENS * first
    assert with_it.forward == without.forward
    assert without.adapters["model.layers.0.self_attn.q_proj"] == 2 * TOKENS * 4 * (64 + 64)
    assert without.adapters["lm_head"] == 0


def test_a_network_of_another_shape_is_refused() -> None:
    prepared, _ = step_of("tiny-llama", "full-ft")
    prepared.model.model.layers[0].self_attn.q_proj = nn.Linear(64, 60)  # type: ignore[union-attr, index]
    with pytest.raises(ValueError, match="queries, keys and values"):
        closed_form(prepared.model, BATCH, SEQ)  # type: ignore[arg-type]
