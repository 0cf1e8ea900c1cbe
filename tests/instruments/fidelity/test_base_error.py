"""Steps of adapters over two bases, against their changes of the weights formed as matrices, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lorafa_prof.instruments.fidelity.adapters import Adapter
from lorafa_prof.instruments.fidelity.base_error import base_error, plain_changes
from lorafa_prof.instruments.fidelity.rules import LORA, LORA_FA, UNCORRECTED
from lorafa_prof.step import TrainingStep

OUT, IN, RANK, SCALE = 7, 9, 3, 0.5


class Adapted(nn.Module):
    """A layer with an adapter, whose loss is the sum of squares of its output."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight
        torch.manual_seed(1)
        self.a = nn.Parameter(torch.randn(RANK, IN, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(OUT, RANK, dtype=torch.float64))
        self.loss: Tensor | None = None

    def forward(self, x: Tensor) -> Adapted:
        self.loss = (x @ (self.weight + SCALE * self.b @ self.a).t()).square().sum()
        return self


def made(weight: Tensor, x: Tensor) -> tuple[TrainingStep, Adapter]:
    model = Adapted(weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return TrainingStep(model, {"x": x}, optimizer), Adapter("layer", model, model.a, model.b, SCALE)


def direct(adapter: Adapter, gradient: Tensor, rule: str) -> Tensor:
    a, b = adapter.a.detach(), adapter.b.detach()
    if rule == LORA_FA:
        return gradient @ a.t() @ torch.linalg.inv(a @ a.t()) @ a
    step = SCALE**2 * gradient @ a.t() @ a
    return step + SCALE**2 * b @ b.t() @ gradient if rule == LORA else step


@pytest.mark.parametrize("rule", [LORA, LORA_FA, UNCORRECTED])
def test_the_distance_is_that_of_the_steps_themselves(rule: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, IN, dtype=torch.float64)
    weights = torch.randn(2, OUT, IN, dtype=torch.float64)
    changes, steps = [], []
    for weight in weights:
        step, adapter = made(weight, x)
        before = [adapter.a.detach().clone(), adapter.b.detach().clone()]
        changes.append(plain_changes(step, [adapter], rule))
        assert torch.equal(adapter.a, before[0])
        assert torch.equal(adapter.b, before[1])
        assert adapter.b.grad is None
        y = x @ (weight + SCALE * adapter.b.detach() @ adapter.a.detach()).t()
        steps.append(direct(adapter, 2 * y.t() @ x, rule))
    found = base_error(changes[1], changes[0]).total
    assert found.distance == pytest.approx(float((steps[1] - steps[0]).norm() / steps[0].norm()), rel=1e-9)
    assert found.cosine == pytest.approx(
        float((steps[1] * steps[0]).sum() / steps[0].norm() / steps[1].norm()), rel=1e-9
    )


def test_without_a_step_nothing_is_known() -> None:
    step, adapter = made(torch.zeros(OUT, IN, dtype=torch.float64), torch.zeros(1, IN, dtype=torch.float64))
    changes = plain_changes(step, [adapter], LORA)
    record = base_error(changes, changes).as_record()
    assert record["total"] == {"distance": None, "cosine": None}
    assert record["weights"][0]["step_share"] is None
