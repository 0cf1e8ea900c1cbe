"""`checkpointing: attention`: what runs again, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest
from tiny_cells import step_of
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorafa_prof.errors import UsageError
from lorafa_prof.models.kernels import use_kernels
from lorafa_prof.models.recompute.attention import recompute_attention


@pytest.mark.parametrize("kernels", ["eager", "packed"])
def test_attention_runs_twice_and_its_products_once(monkeypatch: pytest.MonkeyPatch, kernels: str) -> None:
    calls = []
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return attend(*args, **kwargs)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", counting)
    prepared, step = step_of("tiny-llama", "lora-fa")
    use_kernels(kernels, prepared.model)
    recompute_attention(prepared.model)
    loss = prepared.model(**step.inputs).loss
    layers = prepared.model.config.num_hidden_layers
    assert len(calls) == layers
    loss.backward()
    assert len(calls) == 2 * layers


def test_other_models_are_left_alone() -> None:
    """transformers' table is one for all models, and its function is another one only while a module runs."""
    before = ALL_ATTENTION_FUNCTIONS.get_interface
    prepared, step = step_of("tiny-llama", "lora-fa")
    recompute_attention(prepared.model)
    step.run()
    assert before == ALL_ATTENTION_FUNCTIONS.get_interface


def test_a_model_without_attention() -> None:
    prepared, _ = step_of("tiny-convnext", "lora-fa", attention="eager", seq=64)
    with pytest.raises(UsageError, match=r"finds none in a ConvNextForImageClassification .* need none"):
        recompute_attention(prepared.model)
