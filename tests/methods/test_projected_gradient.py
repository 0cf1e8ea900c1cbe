"""LoRA-FA changes a model's weights by the full gradient, projected: each layer by its own rank and α."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from methods.tiny_training import batch_of, prepare, resolve
from torch import Tensor, nn

from lorafa_prof.layers.low_rank_linear import LoraFaLinear

PATTERNS = {
    "rank": 4,
    "alpha": 6.0,
    "rank_pattern": {"q_proj": 7, r"layers\.1\..*down_proj": 1},
    "alpha_pattern": {"k_proj": 0.5},
}


def watched(layer: LoraFaLinear, full: dict[LoraFaLinear, Tensor]) -> None:
    """Write down the gradient of the loss by the layer's whole weight."""
    kept: list[Tensor] = []
    layer.register_forward_hook(lambda _, args, __: kept.append(args[0].detach()))

    def form(_: nn.Module, __: Any, grads: Any) -> None:
        full[layer] = grads[0].flatten(0, -2).T @ kept.pop().flatten(0, -2)

    layer.register_full_backward_hook(form)


@pytest.mark.parametrize("correction", ["each", "batched"])
@pytest.mark.parametrize("options", [{**PATTERNS}, {**PATTERNS, "rslora": True}], ids=["lora", "rslora"])
def test_at_ranks_and_scales_of_each_layer(options: dict[str, Any], correction: str) -> None:
    resolved = resolve("tiny-llama")
    prepared = prepare(resolved, "lora-fa", {**options, "correction": correction}, dtype=torch.float64)
    layers = [module for module in prepared.model.modules() if isinstance(module, LoraFaLinear)]
    full: dict[LoraFaLinear, Tensor] = {}
    for layer in layers:
        nn.init.normal_(layer.lora_B, std=0.05)
        watched(layer, full)
    prepared.model(**batch_of(resolved)).loss.backward()
    prepared.optimizer.register_step_pre_hook(lambda *_: seen.extend(layer.lora_B.grad for layer in layers))
    seen: list[Any] = []
    prepared.optimizer.step()
    assert {layer.rank for layer in layers} == {1, 4, 7}
    for layer, gradient in zip(layers, seen, strict=True):
        basis = torch.linalg.qr(layer.lora_A.detach().T).Q
        expected = full[layer] @ basis @ basis.T
        changed = layer.scale * gradient @ layer.lora_A
        assert float((changed - expected).norm() / expected.norm()) < 1e-12, layer.path
