from __future__ import annotations

import pytest
from explained import predicted
from tiny_cells import FAMILIES

from lorafa_prof.explaining.composition import Piece
from lorafa_prof.explaining.names import short_module, short_parameter
from lorafa_prof.explaining.reasons import reasons
from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.results.tensors import TensorKey

LAYER = "base_model.model.model.layers.*"


def piece(*needs: Need, module: str = f"{LAYER}.mlp", op: str = "mul") -> Piece:
    return Piece("saved", TensorKey(module, "mlp_activation", op), 1, 8, needs=needs)


def test_of_several_layers_that_share_a_tensor_all_are_named() -> None:
    def need(name: str) -> Need:
        module = f"{LAYER}.self_attn.{name}.lora_A.default"
        return Need(module, "Mm", "self", (f"{module}.weight",))

    assert reasons(piece(need("q_proj"), need("v_proj"))) == [
        "input of a matrix product, for the gradient of q_proj.lora_A and v_proj.lora_A"
    ]


def test_of_attention_all_that_it_keeps_is_one_reason_and_the_layer_after_it_another() -> None:
    attention = [
        Need(f"{LAYER}.self_attn", "ScaledDotProductFlashAttention", slot, ("",))
        for slot in ("value", "key", "query", "output")
    ]
    after = Need(f"{LAYER}.self_attn.o_proj", "Mm", "self", (f"{LAYER}.self_attn.o_proj.weight",))
    assert reasons(piece(*attention, after, module=f"{LAYER}.self_attn")) == [
        "input of a matrix product, for the gradient of self_attn.o_proj",
        "queries, keys, values and output of attention, for the gradient of queries, keys and values",
    ]


def test_what_experts_keep_has_words() -> None:
    experts = f"{LAYER}.mlp.experts"
    needs = [
        Need(experts, "GroupedMm", "self", (f"{experts}.down_proj",)),
        Need(experts, "ExpertsLoraFaFunction", "1", (f"{experts}.lora_B",)),
    ]
    assert reasons(piece(*needs, module=experts)) == [
        "x·Aᵀ of experts' LoRA-FA, for the gradient of experts.lora_B",
        "input of experts' products, for the gradient of experts.down_proj",
    ]


def test_another_module_is_named() -> None:
    need = Need(f"{LAYER}.mlp.act_fn", "Silu", "self", ("",))
    assert reasons(piece(need)) == ["input of SiLU in layers.*.mlp.act_fn, for the gradient of its input"]
    assert reasons(piece(need, module=f"{LAYER}.mlp.act_fn")) == [
        "input of SiLU, for the gradient of its input"
    ]


def test_what_nobody_has_words_for_is_told_by_its_name() -> None:
    assert reasons(piece(Need(f"{LAYER}.mlp", "LigerSiLUMulFunction", "1", ("",)))) == [
        "tensor 2 of LigerSiLUMulFunction, for the gradient of its input"
    ]
    assert reasons(piece(Need(f"{LAYER}.mlp", "Erfinv", "result", ()))) == [
        "result of Erfinv, for the gradient of its input"
    ]


def test_without_the_graph_the_operation_is_told() -> None:
    assert reasons(piece()) == ["kept by mul, for its backward"]
    assert reasons(piece(op="")) == ["kept by a function of its own, for its backward"]
    assert reasons(piece(op=""), checkpointed=True) == [
        "what goes into a checkpointed part: its forward runs again from here"
    ]
    assert reasons(piece(), checkpointed=True) == ["kept by mul, for its backward"]


def test_only_what_autograd_saved_has_reasons() -> None:
    assert reasons(Piece("weights", TensorKey("", "frozen"), 1, 8)) == []


def test_a_fused_norm_keeps_its_input_and_a_number_a_row() -> None:
    saved = predicted("full-ft", settings=(("kernels", "fused-norm"),)).activation.of("saved")
    found = [reason for each in saved if each.key.module == "model.norm" for reason in reasons(each)]
    assert found == [
        "input of an RMS norm, for the gradient of its input and model.norm",
        "1/rms of each row of an RMS norm, for the gradient of its input and model.norm",
    ]


@pytest.mark.parametrize(
    ("family", "kernels"), [*((family, "eager") for family in FAMILIES), ("tiny-llama", "fused")]
)
@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_every_saved_tensor_of_the_families_has_a_reason_in_words(
    method: str, family: str, kernels: str
) -> None:
    settings = () if kernels == "eager" else (("kernels", kernels),)
    for each in predicted(method, family, settings).activation.of("saved"):
        assert each.needs, each.key
        for reason in reasons(each):
            # Names of autograd's nodes and of its slots would be no words.
            assert "Backward" not in reason
            assert "Function" not in reason
            assert " self of " not in f" {reason}"
            assert "result1" not in reason


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("base_model.model.model.layers.*.mlp.down_proj.lora_A.default", "layers.*.mlp.down_proj.lora_A"),
        ("model.layers.*.mlp.down_proj.base", "layers.*.mlp.down_proj"),
        ("model", ""),
        ("base_model.model", ""),
        ("lm_head", "lm_head"),
        ("modelling.head", "modelling.head"),
        ("transformer.h.*.attn", "transformer.h.*.attn"),
    ],
)
def test_modules_without_what_wraps_all(path: str, short: str) -> None:
    assert short_module(path) == short


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("model.layers.*.mlp.down_proj.lora_A.default.weight", "down_proj.lora_A"),
        ("model.layers.*.mlp.down_proj.lora_A", "down_proj.lora_A"),
        ("model.layers.*.self_attn.o_proj.weight", "self_attn.o_proj"),
        ("model.layers.*.input_layernorm.weight", "input_layernorm"),
        ("lm_head.weight", "lm_head"),
    ],
)
def test_parameters_by_their_last_names(name: str, short: str) -> None:
    assert short_parameter(name) == short


def test_a_bias_needs_nothing_of_a_layer_norm() -> None:
    pieces = predicted("full-ft", "tiny-gpt2").activation.pieces
    told = [reason for piece in pieces for reason in reasons(piece) if "layer norm" in reason]
    assert told
    assert not [reason for reason in told if "bias" in reason]
