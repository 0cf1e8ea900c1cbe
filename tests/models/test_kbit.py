"""A quantized base prepared for training is what PEFT's own function makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import prepare_model_for_kbit_training
from tiny_cells import tiny_cell
from torch import nn
from transformers import PreTrainedModel

from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.kbit import prepare_for_kbit_training
from lorafa_prof.models.quantization import Quantization
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.running.prepare import prepare_model

FAMILIES = ["tiny-llama", "tiny-gpt2", "tiny-t5", "tiny-roberta"]
KINDS = ["nf4", "int8"]


def built(family: str, kind: str, dtype: torch.dtype) -> PreTrainedModel:
    return build_model(
        resolve_model(tiny_cell(family).model),
        device=torch.device("meta"),
        dtype=dtype,
        attention="sdpa",
        checkpointing="none",
        quantization=Quantization(kind),
    )


def told(model: PreTrainedModel) -> dict[str, tuple[torch.dtype, bool]]:
    return {name: (p.dtype, p.requires_grad) for name, p in model.named_parameters()}


def hooked(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if module._forward_hooks]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_and_hooks_are_pefts(
    family: str, kind: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cache"))
    ours, pefts = built(family, kind, dtype), built(family, kind, dtype)
    prepare_for_kbit_training(ours)
    assert emptied == ["cache"]
    prepare_model_for_kbit_training(pefts)
    assert emptied == ["cache", "cache"]
    assert told(ours) == told(pefts)
    packed = torch.int8 if kind == "int8" else torch.uint8
    assert {dtype for dtype, _ in told(ours).values()} == {torch.float32, packed}
    assert hooked(ours) == hooked(pefts)
    assert hooked(ours)


def test_without_a_quantized_base_there_is_nothing_to_prepare() -> None:
    cell = tiny_cell("tiny-llama", "lora", kbit_prepare=True)
    with pytest.raises(UsageError, match="quantization is none: set quantization to nf4") as raised:
        prepare_model(cell, resolve_model(cell.model), torch.device("meta"))
    assert raised.value.about == "kbit_prepare"


def test_a_base_in_8_bit_floats_is_none_that_peft_prepares() -> None:
    cell = tiny_cell("tiny-llama", "lora", kbit_prepare=True, quantization="fp8")
    with pytest.raises(UsageError, match="quantization is fp8: set quantization to nf4") as raised:
        prepare_model(cell, resolve_model(cell.model), torch.device("meta"))
    assert raised.value.about == "kbit_prepare"


@pytest.mark.parametrize("method", ["lora", "lora-fa", "peft-lora", "peft-lora-fa"])
def test_a_cells_model_is_prepared_before_its_adapters_are_added(method: str) -> None:
    settings: dict[str, Any] = {"dtype": "bf16", "quantization": "nf4", "adapter_dtype": "bf16"}
    cell = tiny_cell("tiny-llama", method, kbit_prepare=True, **settings)
    model = prepare_model(cell, resolve_model(cell.model), torch.device("meta")).model
    adapters = {name: p for name, p in model.named_parameters() if "lora_" in name}
    rest = {name: p for name, p in model.named_parameters() if "lora_" not in name}
    assert {p.dtype for p in adapters.values()} == {torch.bfloat16}
    assert {p.dtype for p in rest.values()} == {torch.float32, torch.uint8}
    assert not any(p.requires_grad for p in rest.values())
    assert any(p.requires_grad for p in adapters.values())
