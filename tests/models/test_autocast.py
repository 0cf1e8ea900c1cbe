"""A model's forward under autocast, as accelerate wraps it for Trainer."""

from __future__ import annotations

import gc
import weakref
from types import MethodType
from typing import Any

import pytest
import torch
from accelerate.utils import convert_outputs_to_fp32
from operations import Operations
from tiny_cells import FAMILIES, step_of

from lorafa_prof.models.autocast import use_autocast


def by_accelerate(model: Any, dtype: torch.dtype) -> None:
    """The lines of accelerate 1.15, accelerator.py, prepare_model."""
    forward = torch.autocast("cpu", dtype)(model.forward.__func__)
    model.forward = MethodType(forward, model)
    model.forward = MethodType(convert_outputs_to_fp32(model.forward.__func__), model)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["full-ft", "peft-lora"])
def test_it_runs_what_accelerate_runs(method: str, family: str) -> None:
    (_, ours), (_, theirs) = step_of(family, method), step_of(family, method)
    use_autocast("bf16", ours.model, "cpu")
    by_accelerate(theirs.model, torch.bfloat16)
    with Operations() as here:
        ours.run()
    with Operations() as there:
        theirs.run()
    assert here.names == there.names


def test_what_comes_out_is_float32_and_products_are_not() -> None:
    _, step = step_of("tiny-llama", "lora", dtype="bf16", adapter_dtype="fp32")
    use_autocast("fp16", step.model, "cpu")
    inner: list[torch.dtype] = []
    layer: Any = step.model.get_submodule("model.layers.0.self_attn.q_proj")
    layer.register_forward_hook(lambda module, args, output: inner.append(output.dtype))
    output: Any = step.model(**step.inputs)
    assert inner == [torch.float16]
    assert output.logits.dtype == output["loss"].dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_without_autocast_nothing_is_wrapped() -> None:
    _, step = step_of("tiny-llama", "lora")
    use_autocast("none", step.model, "cpu")
    assert "forward" not in vars(step.model)


def test_a_wrapped_model_dies_when_it_is_let_go() -> None:
    prepared, step = step_of("tiny-llama", "lora")
    use_autocast("bf16", step.model, "cpu")
    step.run()
    weight = weakref.ref(step.model.get_parameter("model.embed_tokens.weight"))
    gc.disable()
    try:
        del prepared, step
        assert weight() is None
    finally:
        gc.enable()
