"""What an adapter needs frozen: thawed, it is an error that names it, and no update that is left out."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from methods.tiny_training import batch_of, prepare, resolve
from operations import Operations
from small_configs import small
from torch import nn

from lorafa_prof.errors import UsageError
from lorafa_prof.layers.low_rank_functions import LoraFaFunction
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear

ALL = {"rank": 4, "targets": "q_proj,lm_head,embed_tokens"}


def loss_of(model: nn.Module, name: Any = "tiny-llama") -> Any:
    return model(**batch_of(name)).loss


@pytest.mark.parametrize("kind", ["model.layers.1.self_attn.q_proj", "lm_head", "model.embed_tokens"])
def test_a_thawed_a_is_named(kind: str) -> None:
    model = prepare("tiny-llama", "lora-fa", ALL).model
    loss_of(model).backward()
    model.get_parameter(f"{kind}.lora_A").requires_grad_(True)
    with pytest.raises(UsageError, match=rf"'{re.escape(kind)}.lora_A' was thawed") as caught:
        loss_of(model)
    assert caught.value.about == "method"
    with torch.no_grad():
        loss_of(model)  # an evaluation asks for no gradient


@pytest.mark.parametrize(("method", "names"), [("lora-fa", ["0.lora_A", "original"]), ("lora", ["original"])])
def test_a_thawed_weight_of_experts_is_named(method: str, names: list[str]) -> None:
    resolved = small("mixtral")
    model = prepare(resolved, method, {"rank": 4}).model
    loss_of(model, resolved).backward()
    for name in names:
        path = f"model.layers.1.mlp.experts.parametrizations.down_proj.{name}"
        weight = model.get_parameter(path).requires_grad_(True)
        with pytest.raises(UsageError, match=rf"'{re.escape(path)}' was thawed"):
            loss_of(model, resolved)
        weight.requires_grad_(False)


@pytest.mark.parametrize("layer_type", [LoraLinear, LoraFaLinear])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_thawed_base_is_named(layer_type: Any, name: str) -> None:
    layer = layer_type(nn.Linear(8, 6), rank=2, scale=1.0, dropout=0.0, adapter_dtype=torch.float32)
    getattr(layer.base, name).requires_grad_(True)
    with pytest.raises(UsageError, match=rf"'base\.{name}' was thawed"):
        layer(torch.randn(3, 8))


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_a_weight_that_a_module_to_be_saved_shares_is_told_at_once(method: str) -> None:
    """Its adapter's layer would form no gradient of it, and the module would train by a part of its own."""
    options = {"rank": 4, "targets": "lm_head", "modules_to_save": "embed_tokens"}
    resolved = resolve("tiny-llama")
    resolved.config.tie_word_embeddings = True
    with pytest.raises(UsageError, match=r"'lm_head' has an adapter, and its weight is also") as caught:
        prepare(resolved, method, options)
    assert caught.value.about == "modules_to_save"
    resolved.config.tie_word_embeddings = False
    prepare(resolved, method, options)


def test_looking_at_flags_costs_no_operation() -> None:
    """On a GPU nothing is launched for it, and nothing waited for."""
    layer = LoraFaLinear(nn.Linear(8, 6), rank=2, scale=1.0, dropout=0.0, adapter_dtype=torch.float32)
    x = torch.randn(3, 8)
    with Operations() as asked:
        layer(x)
    with Operations() as bare:
        LoraFaFunction.apply(
            x.reshape(-1, 8), layer.base.weight.t(), layer.base.bias, layer.lora_A, layer.lora_B, 1.0, 0.0
        ).view(3, -1)
    assert sorted(asked.names) == sorted(bare.names)


def test_layers_of_one_shape_are_compiled_once() -> None:
    """Where they are in the model is nothing that a compiled forward hangs on."""
    layers = [
        LoraFaLinear(nn.Linear(8, 8), rank=2, scale=1.0, dropout=0.0, adapter_dtype=torch.float32)
        for _ in range(3)
    ]
    graphs: list[Any] = []

    def count(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    compiled = torch.compile(lambda layer, x: layer(x), backend=count)
    for number, layer in enumerate(layers):
        layer.path = f"layers.{number}"
        compiled(layer, torch.randn(3, 8))
    assert len(graphs) == 1
