"""Gradients with every value of `checkpointing` are those without any, to the bit."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import pytest
import torch
from tiny_cells import step_of
from torch import Tensor

from lorafa_prof.cell import ModelChoice
from lorafa_prof.models.kernels import use_kernels
from lorafa_prof.models.recompute import use
from lorafa_prof.models.recompute.offload import offload
from lorafa_prof.models.resolve import resolve_model

PARTS = [
    "attention",
    "mlp",
    "mlp=0.5",
    "offload=0.5",
    "offload=1",
    "attention+mlp",
    "attention+mlp+offload=1",
]
WHOLE = ["full", "full+offload", "full-reentrant+offload"]


@pytest.fixture(autouse=True)
def _small_tensors_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "offload", partial(offload, smallest_bytes=64))


def gradients(
    checkpointing: str,
    family: str,
    method: str,
    kernels: str = "eager",
    *,
    attention_dropout: float = 0.0,
    **options: Any,
) -> dict[str, Tensor]:
    """Of two micro-batches of a second step: in the first one the B of every adapter is 0."""
    resolved = resolve_model(ModelChoice(name=family))
    if attention_dropout:
        resolved.config.attention_dropout = attention_dropout
    layers = checkpointing if checkpointing.startswith("full") else "none"
    prepared, step = step_of(resolved, method, checkpointing=layers, **options)
    use_kernels(kernels, prepared.model)
    use.use_checkpointing(checkpointing, prepared.model)
    torch.manual_seed(1)
    step.run()
    for _ in range(2):
        prepared.model(**step.inputs).loss.backward()
    parameters = prepared.model.named_parameters()
    return {name: p.grad for name, p in parameters if p.grad is not None}


@cache
def without(*args: Any, **options: Any) -> dict[str, Tensor]:
    return gradients("none", *args, **options)


def assert_same(checkpointing: str, *args: Any, **options: Any) -> None:
    expected = without(*args, **options)
    found = gradients(checkpointing, *args, **options)
    assert set(found) == set(expected)
    assert any(gradient.abs().sum() > 0 for gradient in expected.values())
    unlike = [name for name, gradient in expected.items() if not torch.equal(gradient, found[name])]
    assert unlike == []


@pytest.mark.parametrize(
    ("method", "dtype"), [("full-ft", "fp64"), ("lora", "fp64"), ("lora-fa", "fp64"), ("lora-fa", "bf16")]
)
@pytest.mark.parametrize("kernels", ["eager", "fused", "packed"])
@pytest.mark.parametrize("checkpointing", [*PARTS, *WHOLE])
def test_of_a_llama(checkpointing: str, kernels: str, method: str, dtype: str) -> None:
    assert_same(checkpointing, "tiny-llama", method, kernels, dtype=dtype)


@pytest.mark.parametrize("checkpointing", ["full", "full+offload"])
def test_packed_where_no_adapter_is_in_the_first_layer(checkpointing: str) -> None:
    """Nothing in it, nor below it, needs a gradient."""
    assert_same(checkpointing, "tiny-llama", "lora-fa", "packed", dtype="fp64", layers_to_transform=1)


@pytest.mark.parametrize("kernels", ["eager", "packed"])
@pytest.mark.parametrize("checkpointing", ["attention", "full", "full+offload"])
def test_with_dropout_of_attentions_probabilities(checkpointing: str, kernels: str) -> None:
    """Scaled dot-product attention draws it in its own kernel, and eager attention by an operation."""
    for attention in ("sdpa", "eager"):
        assert_same(
            checkpointing,
            "tiny-llama",
            "lora-fa",
            kernels,
            attention_dropout=0.2,
            attention=attention,
            dtype="fp64",
        )


@pytest.mark.parametrize("checkpointing", PARTS)
@pytest.mark.parametrize("method", ["lora", "lora-fa"])
def test_with_dropout_of_adapters(checkpointing: str, method: str) -> None:
    assert_same(checkpointing, "tiny-llama", method, dropout=0.2, dtype="fp64")


@pytest.mark.parametrize("family", ["tiny-gpt2", "tiny-t5", "tiny-qwen2"])
@pytest.mark.parametrize("checkpointing", PARTS)
def test_of_other_families(checkpointing: str, family: str) -> None:
    """GPT-2 and T5 with their own dropouts, which in GPT-2 come after an MLP's last product too."""
    assert_same(checkpointing, family, "lora-fa", dtype="fp64")


def test_the_values_are_tried_with_something_to_recompute() -> None:
    """Else the tests above hold for nothing: what is saved is less with every value."""
    kept = {}
    for checkpointing in ("none", *PARTS, *WHOLE):
        layers = checkpointing if checkpointing.startswith("full") else "none"
        prepared, step = step_of("tiny-llama", "lora-fa", checkpointing=layers)
        use.use_checkpointing(checkpointing, prepared.model)
        kept[checkpointing] = 0

        def count(tensor: Tensor, key: str = checkpointing) -> Tensor:
            kept[key] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            prepared.model(**step.inputs)
    assert [value for value in kept if value != "none" and kept[value] >= kept["none"]] == []
