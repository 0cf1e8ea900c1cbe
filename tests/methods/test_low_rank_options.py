"""What of a model LoRA's options name, for our methods and PEFT's: layers, patterns, heads, embeddings."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from methods.tiny_training import batch_of, prepare, resolve
from pydantic import ValidationError
from small_configs import small
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_embedding import LoraEmbedding, LoraFaEmbedding
from lorafa_prof.layers.low_rank_linear import LowRankLinear
from lorafa_prof.layers.low_rank_weight import LowRankWeight
from lorafa_prof.methods.base import METHODS, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.quantization import Quantization
from lorafa_prof.optim.lora_fa import correction_matrix
from lorafa_prof.scenario.options import complete_options, same_option, validated_options
from lorafa_prof.step import TrainingStep

OURS = ["lora", "lora-fa"]
LORAS = [*OURS, "peft-lora", "peft-lora-fa"]
ADAPTERS = (LowRankLinear, LoraEmbedding, LoraFaEmbedding, LowRankWeight, peft.tuners.lora.LoraLayer)


def trained(model: nn.Module) -> dict[str, int]:
    """Parameters that train of each module whose own they are, by the path it has in the bare model."""
    found: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            path = name.removeprefix("base_model.model.").split(".lora_")[0].split(".modules_to_save")[0]
            path = path.removesuffix(".weight").removesuffix(".0").replace("parametrizations.", "")
            found[path] = found.get(path, 0) + parameter.numel()
    return found


def adapted(model: nn.Module) -> set[str]:
    return {path.rsplit(".", 1)[-1] for path in trained(model)}


def model_of(method: str, options: dict[str, Any], name: Any = "tiny-llama") -> nn.Module:
    return prepare(name, method, options, device="meta").model


@pytest.mark.parametrize("method", LORAS)
def test_layers_by_number(method: str) -> None:
    options = {"targets": "q_proj,v_proj", "layers_to_transform": 1}
    assert set(trained(model_of(method, options))) == {
        f"model.layers.1.self_attn.{name}" for name in ("q_proj", "v_proj")
    }
    attention = model_of(method, {"targets": "attention", "layers_to_transform": 1})
    assert {path.split(".self_attn")[0] for path in trained(attention)} == {"model.layers.1"}


@pytest.mark.parametrize("method", OURS)
def test_layers_of_all_linear(method: str) -> None:
    paths = trained(model_of(method, {"layers_to_transform": [0]}))
    assert {path.split(".self_attn")[0].split(".mlp")[0] for path in paths} == {"model.layers.0"}
    assert len(paths) == 7


@pytest.mark.parametrize("method", OURS)
@pytest.mark.parametrize(
    ("options", "message", "about"),
    [
        (
            {"layers_to_transform": 2},
            "no target is in layer 2; they are in layers 0 to 1",
            "layers_to_transform",
        ),
        (
            {"targets": "lm_head", "layers_to_transform": 0},
            "no target is in layer 0; they are in no numbered layer",
            "layers_to_transform",
        ),
        ({"rank_pattern": {"q_prj": 4}}, "'q_prj' matches no target", "rank_pattern"),
        ({"alpha_pattern": {"0.q_proj": 4}}, "'0.q_proj' matches no", "alpha_pattern"),
        ({"modules_to_save": "lm_hed"}, r"'lm_hed' \(did you mean 'lm_head'\?\)", "modules_to_save"),
    ],
)
def test_what_names_nothing_is_refused(
    method: str, options: dict[str, Any], message: str, about: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        model_of(method, options)
    assert caught.value.about == about


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ({"rank_pattern": {"q_prj": 4}, "targets": "q_proj"}, "rank_pattern"),
        ({"modules_to_save": "lm_hed"}, "modules_to_save"),
        ({"targets": "attention", "layers_to_transform": 2}, "layers_to_transform"),
    ],
)
def test_so_it_is_for_peft_which_is_silent_about_them(options: dict[str, Any], about: str) -> None:
    with pytest.raises(UsageError) as caught:
        model_of("peft-lora", options)
    assert caught.value.about == about


def test_layers_of_all_linear_are_refused_by_peft_itself() -> None:
    with pytest.raises(UsageError, match="layers_to_transform"):
        model_of("peft-lora", {"targets": "all-linear", "layers_to_transform": 0})


@pytest.mark.parametrize("method", LORAS)
def test_ranks_and_alphas_by_pattern(method: str) -> None:
    options = {
        "targets": "q_proj,v_proj",
        "rank": 4,
        "alpha": 8.0,
        "rank_pattern": {r"layers\.1\.self_attn\.q_proj": 6},
        "alpha_pattern": {"v_proj": 16.0},
    }
    model = model_of(method, options)
    got = {
        name.removeprefix("base_model.model.").removeprefix("model."): (
            next(p for n, p in m.named_parameters() if "lora_A" in n).shape[0],
            m.scale if isinstance(m, LowRankLinear) else m.scaling["default"],
        )
        for name, m in model.named_modules()
        if isinstance(m, ADAPTERS)
    }
    assert got == {
        "layers.0.self_attn.q_proj": (4, 2.0),
        "layers.0.self_attn.v_proj": (4, 4.0),
        "layers.1.self_attn.q_proj": (6, 8 / 6),
        "layers.1.self_attn.v_proj": (4, 4.0),
    }


@pytest.mark.parametrize("method", ["lora", "peft-lora"])
def test_a_pattern_is_the_rank_of_gate_and_up_together(method: str) -> None:
    """Without one they have twice the rank."""
    options = {"targets": "all-linear", "rank": 4, "rank_pattern": {"down_proj": 2}}
    shapes = {
        p.shape for n, p in model_of(method, options, small("mixtral")).named_parameters() if "lora_A" in n
    }
    own = {"lora": [(8, 8, 64), (8, 2, 48)], "peft-lora": [(64, 64), (16, 48)]}[method]
    assert set(own) <= shapes
    if method == "lora":
        together = model_of(method, {**options, "rank_pattern": {"gate_up_proj": 6}}, small("mixtral"))
        assert (8, 6, 64) in {p.shape for n, p in together.named_parameters() if "lora_A" in n}


@pytest.mark.parametrize("method", LORAS)
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-gpt2"])
def test_modules_to_save_train_whole_and_have_no_adapter(method: str, name: str) -> None:
    """The last block's feed-forward and the output layer; of PEFT's these are copies."""
    module = {"tiny-llama": "1.mlp.down_proj", "tiny-gpt2": "1.mlp.c_proj"}[name]
    targets = module.rsplit(".", 1)[-1]
    model = model_of(method, {"targets": targets, "modules_to_save": f"{module},lm_head"}, name)
    counts = trained(model)
    bare = prepare(name, "full-ft", device="meta").model
    whole = {path: m for path, m in bare.named_modules() if f".{path}".endswith((f".{module}", ".lm_head"))}
    for path, m in whole.items():
        if path == "lm_head" and "lm_head" not in counts:  # tied to the embedding, by whose name it goes
            path = "transformer.wte"
        assert sum(n for p, n in counts.items() if p in (path, f"{path}.bias")) == sum(
            p.numel() for p in m.parameters()
        )
    assert any(path not in whole and path.endswith(targets) for path in counts)  # other layers have adapters


@pytest.mark.parametrize("method", ["lora", "peft-lora"])
def test_a_quantized_module_cannot_be_saved(method: str) -> None:
    resolved = resolve("tiny-llama")
    model = build_model(
        resolved,
        device=torch.device("meta"),
        dtype=torch.bfloat16,
        attention="sdpa",
        checkpointing="none",
        quantization=Quantization("nf4"),
    )
    options = METHODS[method].options.model_validate({"targets": "q_proj", "modules_to_save": "down_proj"})
    with pytest.raises(UsageError, match=r"down_proj' is quantized and cannot train") as caught:
        METHODS[method].prepare(model, options, Setting(resolved.task, torch.bfloat16, "adamw"))
    assert caught.value.about == "modules_to_save"


@pytest.mark.parametrize("method", OURS)
def test_a_saved_module_is_trained_by_a_step(method: str) -> None:
    prepared = prepare("tiny-llama", method, {"modules_to_save": "lm_head"})
    before = prepared.model.lm_head.weight.detach().clone()
    TrainingStep(prepared.model, batch_of("tiny-llama"), prepared.optimizer).run()
    assert not torch.equal(before, prepared.model.lm_head.weight)


@pytest.mark.parametrize("method", LORAS)
def test_the_output_layer_and_embeddings_can_be_named(method: str) -> None:
    prepared = prepare("tiny-llama", method, {"rank": 4, "targets": "lm_head,embed_tokens"})
    assert adapted(prepared.model) == {"lm_head", "embed_tokens"}
    step = TrainingStep(prepared.model, batch_of("tiny-llama"), prepared.optimizer)
    for _ in range(2):
        step.run()


def test_an_embeddings_adapter_computes_what_pefts_does() -> None:
    options = {"rank": 4, "alpha": 6.0, "targets": "embed_tokens"}
    own, wrapped = (prepare("tiny-llama", method, options).model for method in ("lora", "peft-lora"))
    ours, theirs = (next(m for m in model.modules() if isinstance(m, ADAPTERS)) for model in (own, wrapped))
    a, b = theirs.lora_embedding_A["default"], theirs.lora_embedding_B["default"]
    assert not ours.lora_A.any()
    assert not a.any()
    nn.init.normal_(a)
    with torch.no_grad():
        ours.lora_A.copy_(a)
        ours.lora_B.copy_(b)
    losses = [model(**batch_of("tiny-llama")).loss for model in (own, wrapped)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    torch.testing.assert_close([ours.lora_A.grad, ours.lora_B.grad], [a.grad, b.grad])


def test_lora_fa_draws_the_a_of_an_embedding_and_can_correct_its_gradient() -> None:
    layer = LoraFaEmbedding(nn.Embedding(50, 8), rank=3, scale=0.5, dropout=0.1, adapter_dtype=torch.float32)
    tokens = torch.tensor([[3, 49], [3, 0]])
    assert torch.equal(layer(tokens), layer.base(tokens))
    nn.init.normal_(layer.lora_B)
    full = layer.base.weight + 0.5 * (layer.lora_B @ layer.lora_A).t()
    torch.testing.assert_close(layer(tokens), full[tokens])
    assert not layer.lora_A.requires_grad
    gram = layer.lora_A @ layer.lora_A.t()
    torch.testing.assert_close(
        correction_matrix(layer.lora_A, 0.5) @ gram, torch.eye(3) * 4, atol=1e-4, rtol=0
    )


def test_an_embedding_that_scales_its_rows_scales_the_adapters_too() -> None:
    base = nn.Embedding(50, 8)
    base.embed_scale = torch.tensor(3.0)
    layer = LoraEmbedding(base, rank=3, scale=0.5, dropout=0.0, adapter_dtype=torch.float32)
    nn.init.normal_(layer.lora_A)
    tokens = torch.tensor([1, 2])
    change = layer(tokens) - base(tokens)
    torch.testing.assert_close(change, 3.0 * 0.5 * (layer.lora_B @ layer.lora_A).t()[tokens])


@pytest.mark.parametrize("method", LORAS)
def test_at_their_defaults_the_later_options_are_in_no_cell(method: str) -> None:
    """So that a cell of before keeps its id."""
    options = validated_options(METHODS[method], {"rank": 4})
    assert set(options) == {"rank", "alpha", "targets", "dropout", "rslora"}
    assert (
        validated_options(METHODS[method], {"rank": 4, "rank_pattern": {}, "modules_to_save": None})
        == options
    )
    assert complete_options(METHODS[method], options)["layers_to_transform"] is None
    assert same_option(METHODS[method], options, "layers_to_transform", None)
    assert not same_option(METHODS[method], options, "layers_to_transform", 0)


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ({"layers_to_transform": 3}, {"layers_to_transform": [3]}),
        ({"layers_to_transform": "3,0, 3"}, {"layers_to_transform": [0, 3]}),
        ({"layers_to_transform": [3, 0]}, {"layers_to_transform": [0, 3]}),
        ({"modules_to_save": ["b", "a"]}, {"modules_to_save": "a,b"}),
        ({"rank_pattern": {"q": 4}}, {"rank_pattern": {"q": 4}}),
        ({"alpha_pattern": {"q": 4}}, {"alpha_pattern": {"q": 4.0}}),
    ],
)
def test_each_setting_has_one_form(given: dict[str, Any], canonical: dict[str, Any]) -> None:
    options = validated_options(METHODS["lora"], given)
    assert {key: options[key] for key in canonical} == canonical
    assert validated_options(METHODS["lora"], options) == options


@pytest.mark.parametrize(
    "given",
    [
        {"layers_to_transform": -1},
        {"layers_to_transform": "a"},
        {"layers_to_transform": True},
        {"layers_to_transform": []},
        {"rank_pattern": {"q": 0}},
        {"rank_pattern": {"q": 1.5}},
        {"rank_pattern": {"(": 4}},
        {"alpha_pattern": {"q": 0}},
        {"rank_pattern": "q"},
        {"modules_to_save": 3},
    ],
)
@pytest.mark.parametrize("method", ["lora", "peft-lora"])
def test_values_of_another_kind_are_refused(method: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validated_options(METHODS[method], given)
