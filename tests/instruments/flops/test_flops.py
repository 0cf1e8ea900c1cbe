"""FLOPs equal a count by hand, in forward and in backward, and belong to the module whose work they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES, METHOD_NAMES, RANK, TOKENS, step_of
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils.flop_counter import FlopCounterMode

from lorafa_prof.instruments.flops.counter import FlopCount, FlopCounter
from lorafa_prof.instruments.flops.formulas import attention_backward_flops, attention_flops
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear
from lorafa_prof.methods.base import Prepared
from lorafa_prof.step import TrainingStep

N, IN, OUT, R = 3, 8, 5, 2


def count_of(module: nn.Module, x: Tensor) -> FlopCount:
    with FlopCounter(module) as counter:
        counter.phase_started("forward")
        out = module(x).sum()
        counter.phase_ended("forward")
        counter.phase_started("backward")
        out.backward()
        counter.phase_ended("backward")
    return counter.count()


def count_step(prepared: Prepared, step: TrainingStep) -> FlopCount:
    with FlopCounter(prepared.model) as counter:
        step.run((counter,))
    return counter.count()


def low_rank(kind: Any) -> nn.Module:
    layer: nn.Module = kind(nn.Linear(IN, OUT), rank=R, scale=2.0, dropout=0.0, adapter_dtype=torch.float32)
    return layer


#: [N, IN] → [N, OUT]: FLOPs of forward, of backward to the weights alone, of backward to the input too.
BY_HAND: dict[str, tuple[Callable[[], nn.Module], int, int, int]] = {
    "linear": (lambda: nn.Linear(IN, OUT), 2 * N * IN * OUT, 2 * N * IN * OUT, 4 * N * IN * OUT),
    "LoRA": (
        lambda: low_rank(LoraLinear),
        2 * N * (IN * OUT + IN * R + R * OUT),
        2 * N * (OUT * R + OUT * R + R * IN),  # s·g B; g's with x Aᵀ; and with x
        2 * N * (OUT * R + OUT * R + R * IN + OUT * IN + R * IN),  # g Wᵀ; (s·g B) A
    ),
    "LoRA-FA": (
        lambda: low_rank(LoraFaLinear),
        2 * N * (IN * OUT + IN * R + R * OUT),
        2 * N * (OUT * R),  # g's with x Aᵀ
        2 * N * (OUT * R + OUT * R + OUT * IN + R * IN),  # s·g B; g Wᵀ; (s·g B) A
    ),
}


@pytest.mark.parametrize("input_gradient", [False, True])
@pytest.mark.parametrize("layer", BY_HAND)
def test_a_layer_by_hand(layer: str, input_gradient: bool) -> None:
    build, forward, backward, backward_to_input = BY_HAND[layer]
    count = count_of(build(), torch.rand(N, IN, requires_grad=input_gradient))
    expected = backward_to_input if input_gradient else backward
    assert count.by_phase == {"forward": forward, "backward": expected}
    assert count.by_module == {"": (forward, expected)}
    assert (count.step, count.model, count.recomputed) == (forward + expected, forward + expected, 0)


@pytest.mark.parametrize("method", ["full-ft", "peft-lora", "peft-lora-fa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_torchs_counter_agrees_where_it_knows_all(family: str, method: str) -> None:
    prepared, step = step_of(family, method, attention="eager")
    with FlopCounterMode(display=False) as forward:
        loss = prepared.model(**step.inputs).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    prepared.model.zero_grad()
    by_phase = count_step(prepared, step).by_phase
    assert by_phase["forward"] == forward.get_total_flops()
    assert by_phase["backward"] == backward.get_total_flops()


def test_torchs_counter_leaves_out_products_in_place() -> None:
    """Why the counter has entries of its own: `addmm_` is what the low-rank layers are made of."""
    y, left, right = torch.zeros(N, OUT), torch.rand(N, IN), torch.rand(IN, OUT)
    with FlopCounterMode(display=False) as torchs:
        y.addmm_(left, right)
        y.expand(1, N, OUT).baddbmm_(left[None], right[None])
    counter = FlopCounter(nn.Identity())
    with counter:
        counter.phase_started("forward")
        y.addmm_(left, right)
        y.expand(1, N, OUT).baddbmm_(left[None], right[None])
    assert counter.count().by_phase["forward"] == 2 * (2 * N * IN * OUT)
    if torchs.get_total_flops() != 0:
        pytest.skip("this torch counts them: the entries can go")


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_grouped_heads_cost_what_repeated_ones_do(groups: int) -> None:
    b, h, q, k, d, e = 2, 8, 5, 7, 16, 12
    query, key, value = meta(b, h, q, d), meta(b, groups, k, d), meta(b, groups, k, e)
    assert attention_flops(query, key, value) == 2 * b * h * q * k * d + 2 * b * h * q * k * e
    # Scores again; gradients of the scores and of the values; of queries and of keys.
    by_hand = 2 * b * h * q * k * (d + e + e + d + d)
    assert attention_backward_flops(meta(b, h, q, e), query, key, value) == by_hand


class Attends(nn.Module):
    def forward(self, query: Tensor) -> Tensor:
        key = value = query[:, :2]
        return scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)


def test_grouped_attention_as_executed() -> None:
    b, h, s, d = 2, 4, 6, 8
    count = count_of(Attends(), torch.rand(b, h, s, d, requires_grad=True))
    product = 2 * b * h * s * s * d
    assert not any("attention" in operation for operation in count.uncounted)
    assert count.by_phase["forward"] == 2 * product
    # Fused kernels form the scores again; the unfused path does not.
    assert count.by_phase["backward"] in (4 * product, 5 * product)


@pytest.mark.parametrize("family", ["tiny-llama", "tiny-mistral", "tiny-qwen2"])
def test_fused_attention_costs_the_same_forward_and_a_quarter_more_backward(family: str) -> None:
    fused, eager = (
        count_step(*step_of(family, "full-ft", attention=attention)) for attention in ("sdpa", "eager")
    )
    assert fused.by_phase["forward"] == eager.by_phase["forward"]
    scores = 2 * TOKENS * 48 * 64 * 2  # one product over all heads of both layers
    assert fused.by_phase["backward"] - eager.by_phase["backward"] == scores


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("family", ["tiny-llama", "tiny-gpt2", "tiny-t5"])
def test_modules_sum_to_their_phases(family: str, method: str, checkpointing: str) -> None:
    prepared, step = step_of(family, method, checkpointing=checkpointing)
    count = count_step(prepared, step)
    forward, backward = (sum(flops[side] for flops in count.by_module.values()) for side in (0, 1))
    assert (forward, backward) == (count.by_phase["forward"], count.by_phase["backward"])
    assert set(count.by_module) <= {name for name, _ in prepared.model.named_modules()}
    assert count.step == forward + backward + count.by_phase["optimizer"]


def test_backward_belongs_to_each_module_of_a_fully_trained_model() -> None:
    prepared, step = step_of("tiny-llama", "full-ft", attention="eager")
    count = count_step(prepared, step)
    linears = {name: m for name, m in prepared.model.named_modules() if isinstance(m, nn.Linear)}
    expected = {
        name: (2 * TOKENS * m.weight.numel(), 4 * TOKENS * m.weight.numel()) for name, m in linears.items()
    }
    attention = 2 * 2 * TOKENS * 48 * 64
    expected |= {f"model.layers.{layer}.self_attn": (attention, 2 * attention) for layer in (0, 1)}
    expected["model.rotary_emb"] = (2 * 48 * 8, 0)  # positions times frequencies
    assert count.by_module == expected


def test_backward_belongs_to_each_adapted_module() -> None:
    prepared, step = step_of("tiny-llama", "lora-fa", attention="eager")
    count = count_step(prepared, step)
    for name, module in prepared.model.named_modules():
        if not isinstance(module, LoraFaLinear):
            continue
        base, a, b = module.weight.numel(), module.lora_A.numel(), module.lora_B.numel()
        reads_embeddings = name in {f"model.layers.0.self_attn.{part}_proj" for part in "qkv"}
        to_input = 0 if reads_embeddings else base + a + b
        expected = (2 * TOKENS * (base + a + b), 2 * TOKENS * (b + to_input))
        assert count.by_module[name] == expected, name


def test_a_module_called_twice_has_both_calls() -> None:
    layer = nn.Linear(4, 4)
    count = count_of(nn.Sequential(layer, nn.Linear(4, 4), layer), torch.rand(N, 4))
    product = 2 * N * 16
    # Weights' gradients of all three; inputs' of the last two.
    assert count.by_module == {"0": (2 * product, 3 * product), "1": (product, 2 * product)}


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
def test_recomputed_is_the_layers_forward_once_more(method: str) -> None:
    bare = count_step(*step_of("tiny-llama", method))
    prepared, step = step_of("tiny-llama", method, checkpointing="full")
    count = count_step(prepared, step)
    layers = {path: flops for path, (flops, _) in count.by_module.items() if ".layers." in path}
    expected = sum(layers.values())
    if method == "full-ft":
        # Recomputing stops once all that was saved is there again: the last product of a layer is not run.
        expected -= sum(flops for path, flops in layers.items() if path.endswith("down_proj"))
    assert count.recomputed == expected > 0
    assert count.by_phase["forward"] == bare.by_phase["forward"]
    extra = count.by_phase["backward"] - bare.by_phase["backward"] - count.recomputed
    # Checkpointing makes the embeddings' output require a gradient, so queries, keys and values get theirs.
    first = [f"model.layers.0.self_attn.{part}_proj" for part in "qkv"]
    assert extra == (
        0 if method == "full-ft" else sum(input_gradient(prepared.model, p, method) for p in first)
    )
    assert count.model == count.step - count.recomputed


def input_gradient(model: nn.Module, path: str, method: str) -> int:
    layer: Any = model.get_submodule(path)
    weights = layer.weight.numel() + layer.lora_A.numel()
    if method == "lora-fa":  # LoRA needs s·g B for A as well
        weights += layer.lora_B.numel()
    return 2 * TOKENS * int(weights)


def test_recomputed_work_belongs_to_the_module_recomputed() -> None:
    bare = count_step(*step_of("tiny-llama", "lora"))
    count = count_step(*step_of("tiny-llama", "lora", checkpointing="full"))
    path = "model.layers.1.mlp.up_proj"
    forward, backward = bare.by_module[path]
    assert count.by_module[path] == (forward, backward + forward)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_a_convolutions_backward_is_twice_its_forward(groups: int, *, transposed: bool) -> None:
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(6, 12, 3, stride=2, groups=groups)
    x = torch.randn(2, 6, 9, 7, requires_grad=True)
    with FlopCounter(layer) as counter:
        counter.phase_started("forward")
        y = layer(x)
        counter.phase_ended("forward")
        counter.phase_started("backward")
        y.sum().backward()
        counter.phase_ended("backward")
    flops = counter.count().by_phase
    meets_weight = x if transposed else y
    assert flops["forward"] == 2 * 2 * meets_weight[0, 0].numel() * layer.weight.numel()
    assert flops["backward"] == 2 * flops["forward"]


def test_the_optimizers_products_are_its_own() -> None:
    count = count_step(*step_of("tiny-llama", "lora-fa"))
    layers_b = 64 + 32 + 32 + 64 + 176 + 176 + 64
    assert count.by_phase["optimizer"] == 2 * 2 * layers_b * RANK * RANK  # each B's gradient times r × r
    assert count_step(*step_of("tiny-llama", "lora")).by_phase["optimizer"] == 0


def test_what_is_not_counted_is_told() -> None:
    count = count_of(nn.Sequential(nn.Linear(4, 4), nn.Softmax(dim=-1)), torch.rand(N, 4))
    assert count.uncounted["aten._softmax"] == 1
    assert not {"aten.mm", "aten.addmm"} & set(count.uncounted)


@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_micro_batches_add_up(checkpointing: str) -> None:
    prepared, step = step_of("tiny-llama", "lora-fa", checkpointing=checkpointing)
    once, thrice = count_step(prepared, step), count_step(prepared, replace(step, accumulation=3))
    for phase, times in (("forward", 3), ("backward", 3), ("optimizer", 1)):
        assert thrice.by_phase[phase] == times * once.by_phase[phase] > 0  # type: ignore[index]
    assert thrice.by_module == {
        path: (3 * forward, 3 * backward) for path, (forward, backward) in once.by_module.items()
    }
    assert thrice.recomputed == 3 * once.recomputed
    assert (once.recomputed > 0) == (checkpointing == "full")


def test_outside_of_phases_nothing_counts() -> None:
    with FlopCounter(nn.Identity()) as counter:
        torch.rand(4, 4) @ torch.rand(4, 4)
    assert counter.count() == FlopCount({}, 0, {}, {})


def test_hooks_and_modes_are_gone_afterwards() -> None:
    count_step(*step_of("tiny-llama", "lora"))
    assert _get_current_dispatch_mode() is None
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks


def test_counting_changes_neither_loss_nor_gradients() -> None:
    prepared, step = step_of("tiny-gpt2", "lora", dropout=0.1)

    def loss_and_gradients(counter: Any) -> list[Tensor]:
        torch.manual_seed(1)
        with counter:
            loss = prepared.model(**step.inputs).loss
            loss.backward()
        found = [loss.detach(), *(p.grad for p in prepared.model.parameters() if p.grad is not None)]
        prepared.model.zero_grad(set_to_none=True)
        return found

    bare, seen = loss_and_gradients(torch.enable_grad()), loss_and_gradients(FlopCounter(prepared.model))
    assert len(bare) == len(seen) > 1
    assert all(torch.equal(one, other) for one, other in zip(bare, seen, strict=True))
