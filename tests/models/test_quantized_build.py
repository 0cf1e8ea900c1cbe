"""A quantized network: which layers are, which are not, and what is in memory while it is built."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import FAMILIES
from torch import nn
from transformers.pytorch_utils import Conv1D

from lorafa_prof.cell import ModelChoice
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.devices.sim.twin import Twin
from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.storages import model_tensors, storage_bytes
from lorafa_prof.layers.low_rank_linear import is_linear
from lorafa_prof.layers.quantized.state import is_quantized, number_of_weights
from lorafa_prof.models.build import build_model
from lorafa_prof.models.quantization import NOT_QUANTIZED, Quantization
from lorafa_prof.models.quantized_build import linears_left_empty
from lorafa_prof.models.resolve import resolve_model

NF4 = Quantization("nf4")
families = pytest.mark.parametrize("family", FAMILIES)


def build(name: str, quantization: Quantization, **settings: Any) -> Any:
    choice = ModelChoice(name=name, weights=settings.pop("weights", "random"))
    return build_model(
        resolve_model(choice),
        device=torch.device("meta"),
        dtype=settings.pop("dtype", torch.bfloat16),
        attention="sdpa",
        checkpointing="none",
        quantization=quantization,
    )


def not_quantized(model: nn.Module) -> set[str]:
    return {name for name, m in model.named_modules() if is_linear(m) and not is_quantized(m)}


@pytest.mark.parametrize(
    ("family", "left_alone"),
    [
        ("tiny-llama", {"lm_head"}),
        ("tiny-mistral", {"lm_head"}),
        ("tiny-qwen2", {"lm_head"}),
        ("tiny-gpt2", {"lm_head"}),
        ("tiny-roberta", {"classifier.dense", "classifier.out_proj"}),
    ],
)
def test_all_but_the_output_layer_and_a_head_are_quantized(family: str, left_alone: set[str]) -> None:
    assert not_quantized(build(family, NF4)) == left_alone


def test_what_a_model_wants_in_float32_is_left_alone_as_transformers_does() -> None:
    assert {name.rpartition(".")[2] for name in not_quantized(build("tiny-t5", NF4))} == {"lm_head", "wo"}


@families
@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8", "fp8"])
def test_it_has_the_weights_and_the_layers_of_the_dense_one(family: str, kind: str) -> None:
    dense, packed = build(family, NOT_QUANTIZED), build(family, Quantization(kind))
    assert [name for name, _ in packed.named_parameters()] == [name for name, _ in dense.named_parameters()]
    numbers = [sum(number_of_weights(p) for p in model.parameters()) for model in (dense, packed)]
    assert numbers[0] == numbers[1]
    assert storage_bytes(model_tensors(packed)) < storage_bytes(model_tensors(dense))
    assert packed.is_loaded_in_4bit == (kind in ("nf4", "fp4"))
    assert packed.is_loaded_in_8bit == (kind == "int8")


def test_of_a_packed_weight_there_are_half_a_byte_and_its_statistics() -> None:
    layer = build("tiny-llama", NF4).model.layers[0].mlp.up_proj
    n = layer.in_features * layer.out_features
    assert storage_bytes(model_tensors(layer)) == n // 2 + 4 * (n // 64) + 64


def test_only_one_layer_is_dense_at_a_time() -> None:
    """A model whose 16-bit weights are more than the GPU has is built all the same."""
    gpu = GPUS["rtx-4090"]
    with Twin(gpu) as twin:
        model = build("llama-2-13b", Quantization("nf4", double=True))
        largest = 2 * 13824 * 5120
        held = twin.allocator.allocated.current
        assert twin.allocator.allocated.peak < held + 1.1 * largest < gpu.memory_bytes
        assert held < 7.5 * 2**30
        del model


def test_constructors_are_put_back() -> None:
    before = nn.Linear.__init__, Conv1D.__init__
    with linears_left_empty():
        linear, conv1d = nn.Linear(8, 4), Conv1D(4, 8)
        assert linear.weight.numel() == conv1d.weight.numel() == 0
        assert linear.in_features == conv1d.nx == 8
    assert (nn.Linear.__init__, Conv1D.__init__) == before
    assert nn.Linear(8, 4).weight.shape == (4, 8)


@pytest.mark.parametrize(
    ("quantization", "settings", "message", "about"),
    [
        (Quantization("nf5"), {}, "unknown quantization 'nf5'; did you mean 'nf4'?", "quantization"),
        (Quantization("int8", double=True), {}, "double_quant is of 4-bit weights", "double_quant"),
        (Quantization("fp8", double=True), {}, "and quantization is fp8", "double_quant"),
        (Quantization("none", double=True), {}, "and quantization is none", "double_quant"),
        (NF4, {"dtype": torch.float64}, "and dtype is fp64", "dtype"),
    ],
)
def test_what_bitsandbytes_does_not_have_is_one_line(
    quantization: Quantization, settings: Any, message: str, about: str
) -> None:
    with pytest.raises(UsageError) as error:
        build("tiny-llama", quantization, **settings)
    assert message.replace("; did you mean 'nf4'?", "") in str(error.value)
    assert error.value.about == about
