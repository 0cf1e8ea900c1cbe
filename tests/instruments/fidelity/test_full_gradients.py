"""Full gradients of weights, one at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from lorafa_prof.instruments.fidelity.full_gradients import FullGradients, add_products_
from lorafa_prof.step import TrainingStep


class Twice(nn.Module):
    """Calls its one layer twice in a forward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6, dtype=torch.float64)

    def forward(self, x: Tensor) -> Any:
        return SimpleNamespace(loss=self.layer(self.layer(x).tanh()).square().sum())


def test_a_layer_that_is_called_twice_has_one_gradient_the_sum():
    model = Twice()
    inputs = {"x": torch.randn(2, 5, 6, dtype=torch.float64)}
    model(**inputs).loss.backward()
    expected = model.layer.weight.grad
    model.zero_grad()
    found: list[tuple[str, Tensor]] = []
    step = TrainingStep(model, inputs, torch.optim.SGD(model.parameters(), lr=0.0), accumulation=2)
    with FullGradients([("layer", model.layer)], lambda *one: found.append(one)) as watch:
        step.run((watch,))
    assert [path for path, _ in found] == ["layer", "layer"]  # of each micro-batch
    for _, gradient in found:
        torch.testing.assert_close(gradient, expected / 2)


def test_products_of_narrow_types_are_summed_in_float32_some_tokens_at_a_time():
    x, dy = torch.randn(9000, 8).bfloat16(), torch.randn(9000, 4).bfloat16()
    gradient = torch.zeros(4, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        add_products_(gradient, x, dy)
    torch.testing.assert_close(gradient.double(), dy.double().t() @ x.double(), rtol=1e-5, atol=1e-3)
