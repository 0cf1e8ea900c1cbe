"""The rule of kinds on its own, what each family and method keeps of each, and formulas per layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from layer_formulas import FORMULAS, IDS, bytes_per_token, multi_head_llama
from tiny_cells import FAMILIES, RANK, TOKENS, observe, saved_of, step_of, tiny_cell
from torch import nn
from transformers.pytorch_utils import Conv1D

from lorafa_prof.instruments.saved.kinds import SavePoint, kind_of
from lorafa_prof.instruments.saved.recorder import SavedTensors
from lorafa_prof.layers.low_rank_linear import LoraLinear
from lorafa_prof.layers.low_rank_weight import LoraWeight, adapt_weight
from lorafa_prof.parts import SavedKind


def named(name: str) -> nn.Module:
    return type(name, (nn.Module,), {})()


MODEL, BLOCK, ATTENTION, MLP = named("Model"), named("Block"), named("LlamaAttention"), named("LlamaMLP")
LINEAR = nn.Linear(8, 8)
ADAPTED = LoraLinear(nn.Linear(8, 8), rank=4, scale=1.0, dropout=0.0, adapter_dtype=torch.float32)
EXPERTS = nn.ParameterDict({"up": torch.ones(2, 12, 10)})
adapt_weight(
    EXPERTS,
    "up",
    LoraWeight(EXPERTS["up"], turned=False, rank=6, scale=1.0, dropout=0.0, adapter_dtype=torch.float32),
)

POINTS: list[tuple[str, list[nn.Module], str, int, torch.dtype, SavedKind]] = [
    ("q_proj", [MODEL, ATTENTION, LINEAR], "linear", 8, torch.float32, "linear_input"),
    ("c_attn", [MODEL, ATTENTION, Conv1D(8, 8)], "addmm", 8, torch.float32, "linear_input"),
    ("q_proj", [MODEL, ATTENTION, ADAPTED], "", 8, torch.float32, "linear_input"),
    ("q_proj", [MODEL, ATTENTION, ADAPTED], "", 4, torch.float32, "adapter"),
    ("q_proj.lora_A.default", [MODEL, ATTENTION, LINEAR], "linear", 8, torch.float32, "linear_input"),
    ("q_proj.lora_B.default", [MODEL, ATTENTION, LINEAR], "linear", 4, torch.float32, "adapter"),
    ("q_proj.lora_magnitude_vector", [MODEL, ATTENTION, BLOCK], "mul", 8, torch.float32, "adapter"),
    ("q_proj", [MODEL, ATTENTION, ADAPTED], "", 8, torch.bool, "dropout_mask"),
    ("attn", [MODEL, ATTENTION, nn.Dropout()], "dropout", 8, torch.float32, "dropout_mask"),
    ("norm", [MODEL, BLOCK, named("LlamaRMSNorm")], "pow", 8, torch.float32, "norm"),
    ("norm", [MODEL, BLOCK, nn.LayerNorm(8)], "layer_norm", 8, torch.float32, "norm"),
    ("attn", [MODEL, BLOCK, ATTENTION], "scaled_dot_product_attention", 8, torch.float32, "attention"),
    ("rotary_emb", [MODEL, named("LlamaRotaryEmbedding")], "cos", 8, torch.float32, "attention"),
    ("mlp", [MODEL, BLOCK, MLP], "mul", 8, torch.float32, "mlp_activation"),
    ("mlp.act_fn", [MODEL, BLOCK, MLP, nn.SiLU()], "silu", 8, torch.float32, "mlp_activation"),
    ("", [MODEL], "cross_entropy", 8, torch.float32, "logits_loss"),
    ("", [], "", 8, torch.float32, "logits_loss"),
    ("head", [MODEL, BLOCK], "cross_entropy", 8, torch.float32, "logits_loss"),
    ("embed", [MODEL, BLOCK, nn.Embedding(2, 8)], "embedding", 8, torch.int64, "other"),
    ("experts", [MODEL, BLOCK, EXPERTS], "", 3, torch.float64, "other"),
    ("experts", [MODEL, BLOCK, EXPERTS], "", 6, torch.float64, "adapter"),  # x Aᵀ, as it is
    (
        "experts",
        [MODEL, BLOCK, EXPERTS],
        "",
        8,
        torch.float16,
        "adapter",
    ),  # with columns of zeros, to 16 bytes
    ("experts", [MODEL, BLOCK, EXPERTS], "", 8, torch.float64, "other"),
    ("experts", [MODEL, BLOCK, EXPERTS], "", 6, torch.int32, "other"),
]


@pytest.mark.parametrize(("path", "modules", "op", "width", "dtype", "expected"), POINTS)
def test_the_rule(
    path: str, modules: list[nn.Module], op: str, width: int, dtype: torch.dtype, expected: SavedKind
) -> None:
    point = SavePoint(path, tuple(modules), op)
    assert kind_of(point, (3, width), dtype, frozenset({4})) == expected


def test_without_adapters_a_narrow_input_is_an_input() -> None:
    point = SavePoint("q_proj", (MODEL, ATTENTION, LINEAR), "linear")
    assert kind_of(point, (3, 4), torch.float32, frozenset()) == "linear_input"
    assert kind_of(point, (), torch.float32, frozenset({4})) == "linear_input"


def kinds(family: str, method: str, **settings: Any) -> dict[SavedKind, int]:
    return observe(tiny_cell(family, method, **settings))[1].by_kind


#: What the new head of a classifier, which trains under every method, reads: two linears' inputs of h fp32.
HEAD_INPUTS = {"tiny-roberta": 2 * 2 * 64 * 4}


@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_of_linears_are_kept_unless_a_is_frozen(family: str) -> None:
    head = HEAD_INPUTS.get(family, 0)
    full, lora = kinds(family, "full-ft"), kinds(family, "lora")
    lora_fa, peft_lora_fa = kinds(family, "lora-fa"), kinds(family, "peft-lora-fa")
    assert full["linear_input"] >= lora["linear_input"] > head
    assert lora_fa["linear_input"] == peft_lora_fa["linear_input"] == head
    assert full["adapter"] == 0
    assert lora["adapter"] == lora_fa["adapter"] == peft_lora_fa["adapter"] > 0
    # Nothing else changes between LoRA and LoRA-FA.
    assert {**lora, "linear_input": head} == lora_fa


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_the_kinds_it_has(family: str) -> None:
    found = kinds(family, "full-ft")
    assert {kind for kind, nbytes in found.items() if nbytes == 0} == {"adapter", "cast_weight"} | (
        set() if family in ("tiny-gpt2", "tiny-t5", "tiny-roberta") else {"dropout_mask"}
    )


def test_a_mask_of_one_byte_for_each_input_of_an_adapter() -> None:
    h, i, layers = 64, 176, 2
    each_layer = 6 * h + i
    assert kinds("tiny-llama", "lora", dropout=0.1)["dropout_mask"] == layers * each_layer * TOKENS
    # LoRA-FA's first queries, keys and values read frozen embeddings: no gradient goes there, no mask.
    lora_fa = kinds("tiny-llama", "lora-fa", dropout=0.1)["dropout_mask"]
    assert lora_fa == (layers * each_layer - 3 * h) * TOKENS


def test_one_low_rank_product_for_each_adapter() -> None:
    for method in ("lora", "lora-fa"):
        assert kinds("tiny-llama", method, dtype="bf16")["adapter"] == 2 * 7 * RANK * TOKENS * 2


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
def test_checkpointing_leaves_the_inputs_of_layers_and_the_loss(method: str) -> None:
    found = kinds("tiny-llama", method, checkpointing="full")
    bare = kinds("tiny-llama", method)
    assert found["logits_loss"] == bare["logits_loss"]
    assert found["mlp_activation"] == found["adapter"] == 0
    assert sum(found.values()) < sum(bare.values()) / 2


HIDDEN, INTERMEDIATE, HEADS = 64, 176, 4


def layers_kinds(layers: int, method: str, adapter_dtype: str, options: dict[str, Any]) -> SavedTensors:
    model = multi_head_llama(layers, hidden=HIDDEN, intermediate=INTERMEDIATE, heads=HEADS)
    return saved_of(*step_of(model, method, dtype="bf16", adapter_dtype=adapter_dtype, **options))


@pytest.mark.parametrize(("method", "options", "adapter_dtype", "coefficients"), FORMULAS, ids=IDS)
def test_one_more_layer_keeps_what_the_formula_says(
    method: str, options: dict[str, Any], adapter_dtype: str, coefficients: tuple[int, int, int]
) -> None:
    two, three = (layers_kinds(n, method, adapter_dtype, options) for n in (2, 3))
    expected = bytes_per_token(coefficients, hidden=HIDDEN, intermediate=INTERMEDIATE, heads=HEADS, rank=RANK)
    assert three.total_bytes - two.total_bytes == expected * TOKENS


LINEAR_INPUTS = 4 * HIDDEN + 2 * INTERMEDIATE
NORMS = 2 * (4 * HIDDEN + 4)  # each: its input in fp32, 1/rms
NORM_WEIGHTS_GRADIENT = 2 * 2 * HIDDEN  # trained norms keep what their weight multiplies
ATTENTION_KEEPS = 4 * 2 * HIDDEN + 4 * HEADS  # queries, keys, values, result, log-sum-exp
MLP_KEEPS = 3 * 2 * INTERMEDIATE
ADAPTERS = 7 * 2 * RANK


@pytest.mark.parametrize(
    ("method", "inputs", "norms", "adapters"),
    [
        ("full-ft", LINEAR_INPUTS, NORMS + NORM_WEIGHTS_GRADIENT, 0),
        ("lora", LINEAR_INPUTS, NORMS, ADAPTERS),
        ("lora-fa", 0, NORMS, ADAPTERS),
    ],
)
def test_one_more_layer_by_kind(method: str, inputs: int, norms: int, adapters: int) -> None:
    two, three = (layers_kinds(n, method, "bf16", {}).by_kind for n in (2, 3))
    assert {kind: (three[kind] - two[kind]) / TOKENS for kind in three} == {
        "linear_input": inputs,
        "adapter": adapters,
        "norm": norms,
        "attention": ATTENTION_KEEPS,
        "mlp_activation": MLP_KEEPS,
        "dropout_mask": 0,
        "logits_loss": 0,
        "cast_weight": 0,
        "other": 0,
    }
