"""Packed layers over a base in 8-bit floats: what eager layers over it compute, and nothing held twice."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest
import torch
from models.test_packed import largest_difference, losses_and_gradients, model_of, prepared
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.storages import model_tensors, storage_bytes
from lorafa_prof.layers.packed.pack import pack
from lorafa_prof.layers.quantized import fp8_products
from lorafa_prof.layers.quantized.fp8 import Fp8Linear
from lorafa_prof.models import packed as packed_models
from lorafa_prof.models.packed import LLAMA_SHAPED, use_packed

#: On the CPU the products are in 32 bits.
LIMIT = 1e-4
ALL: dict[str, Any] = {"rank": 4, "targets": "all-linear"}
METHOD_OPTIONS = [
    ("frozen", {}),
    ("lora", ALL),
    ("lora-fa", ALL),
    ("lora-fa", {"rank": 3, "targets": ["q_proj", "v_proj", "o_proj"], "rslora": True}),
    ("lora", {**ALL, "rank_pattern": {"v_proj": 9}, "alpha_pattern": {"v_proj": 3}}),
]


def as_they_are(x: Tensor, factor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Rows that lose nothing, in the place of those of 8 bits."""
    return (x if factor is None else x * factor), torch.ones(len(x))


def in_fp8(kind: str, **changes: Any) -> Any:
    model = model_of(kind, **changes)
    for path, module in list(model.named_modules()):
        if type(module) is nn.Linear and path != "lm_head":
            model.set_submodule(path, Fp8Linear(module.weight.data, module.bias).requires_grad_(False))
    return model


def pair(kind: str, method: str, options: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    """The same model, with eager layers and packed."""
    eager, packed = in_fp8(kind), in_fp8(kind)
    for model in (eager, packed):
        prepared(model, method, options)
    use_packed(packed)
    return eager, packed


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "phi3"])
@pytest.mark.parametrize(("method", "options"), METHOD_OPTIONS)
def test_losses_and_gradients_are_those_of_eager_layers(
    kind: str, method: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 8 bits for weights alone: rows of all parts have one scale where eager layers have three."""
    monkeypatch.setattr(fp8_products, "quantized_rows", as_they_are)
    assert kind in LLAMA_SHAPED
    if kind == "phi3" and options not in ({}, ALL):
        options = {"rank": 12, "targets": ["qkv_proj", "down_proj"]}
    eager, packed = pair(kind, method, options)
    (expected, theirs), (got, ours) = losses_and_gradients(eager, 2), losses_and_gradients(packed, 2)
    assert got == pytest.approx(expected, rel=LIMIT)
    if method != "frozen":
        assert largest_difference(ours, theirs) < LIMIT
    assert list(packed.state_dict()) == list(eager.state_dict())


@pytest.mark.parametrize("kind", LLAMA_SHAPED)
def test_one_scale_for_all_parts_of_a_row_costs_no_more_than_one_for_each(kind: str) -> None:
    dense = model_of(kind)
    prepared(dense, "lora-fa", ALL)
    exact = losses_and_gradients(dense)[1]
    errors = [
        median(
            float((gradients[name] - exact[name]).norm() / exact[name].norm())
            for gradients in [losses_and_gradients(model)[1]]
            for name in exact
        )
        for model in pair(kind, "lora-fa", ALL)
    ]
    assert 0.02 < errors[0] < 0.2
    assert errors[1] == pytest.approx(errors[0], rel=0.3)


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_nothing_is_held_twice(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(packed_models, "pack", lambda layers: made.append(pack(layers)) or made[-1])
    eager, packed = pair("llama", method, {**ALL, "rank": 8})
    assert storage_bytes(model_tensors(packed)) == storage_bytes(model_tensors(eager))
    # Nor past the model's own tensors: what a product multiplies by is where its layers' weights are.
    held = {tensor.untyped_storage().data_ptr() for tensor in model_tensors(packed)}
    assert len(made) == 2 * 4
    for product in made:
        for tensor in (product.weight, product.weight_scale, product.a, product.own_b):
            assert tensor.untyped_storage().data_ptr() in held


def test_a_step_and_loaded_values_are_seen_by_the_next_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fp8_products, "quantized_rows", as_they_are)
    steps = []
    for is_packed in (False, True):
        model = in_fp8("llama")
        ready = prepared(model, "lora", ALL)
        if is_packed:
            use_packed(model)
        losses = []
        for _ in range(3):
            losses += losses_and_gradients(model)[0]
            ready.optimizer.step()
            ready.optimizer.zero_grad()
        changed = {name: value * 1.25 for name, value in model.state_dict().items() if "lora_" in name}
        model.load_state_dict(changed, strict=False)
        steps.append([*losses, *losses_and_gradients(model)[0]])
    assert steps[1] == pytest.approx(steps[0], rel=LIMIT)
    assert len(set(steps[0])) == 4


def test_full_checkpointing_and_dropout_change_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = in_fp8("llama")
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        prepared(model, "lora", {**ALL, "dropout": 0.2})
        use_packed(model)
        torch.manual_seed(7)
        gradients.append(losses_and_gradients(model)[1])
    assert largest_difference(*gradients) == 0.0


def test_layers_of_two_kinds_in_one_product_are_refused() -> None:
    model = in_fp8("llama")
    attention = model.model.layers[0].self_attn
    attention.k_proj = nn.Linear(64, 32, bias=False, dtype=torch.float64)
    ready = prepared(model, "lora-fa", ALL)
    with pytest.raises(UsageError, match="dense or in fp8"):
        use_packed(ready.model)
