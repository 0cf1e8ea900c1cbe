"""`checkpointing: full` of packed layers: what the first layer's input needs a gradient for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from torch import Tensor

from lorafa_prof.running.prepare import prepare_step


def asked_and_gradients(
    method: str, *, kernels: str = "packed", required_again: bool = False, **settings: Any
) -> tuple[bool, dict[str, Tensor]]:
    """Whether the first layer's input requires a gradient, and the gradients of a second step."""
    cell = tiny_cell(method=method, kernels=kernels, checkpointing="full", dtype="fp64", **settings)
    prepared, step = prepare_step(cell, torch.device("cpu"))
    model: Any = prepared.model
    if required_again:
        model.enable_input_require_grads()
    asked = []
    model.model.layers[0].register_forward_pre_hook(lambda layer, args: asked.append(args[0].requires_grad))
    step.run()
    model(**step.inputs).loss.backward()
    assert asked[0] == asked[1]
    return asked[0], {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("method", ["lora", "lora-fa"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_where_adapters_train_it_needs_none_and_gradients_are_the_same(method: str, dropout: float) -> None:
    (asked, found), (asked_again, expected) = (
        asked_and_gradients(method, dropout=dropout, required_again=again) for again in (False, True)
    )
    assert (asked, asked_again) == (False, True)
    assert list(found) == list(expected) != []
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
    assert any("layers.0.self_attn.q_proj" in name and gradient.any() for name, gradient in found.items())


@pytest.mark.parametrize(
    ("method", "kernels", "because"),
    [
        ("full-ft", "packed", "embeddings train"),
        ("frozen", "packed", "nothing does, and that is what frozen measures"),
        ("lora-fa", "eager", "transformers has it so with its checkpoints"),
    ],
)
def test_elsewhere_it_needs_one(method: str, kernels: str, because: str) -> None:
    asked, _ = asked_and_gradients(method, kernels=kernels)
    assert asked, because
