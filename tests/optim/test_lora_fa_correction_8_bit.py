"""LoRA-FA's correction before states of 8 bits: what is quantised is formed of the corrected gradient.

bitsandbytes has no such optimizer on a CPU, so this is AdamW with its quantisation, in float64: the dynamic
map of 256 values (arXiv 1511.04561) and a scale for each block of 256.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.eight_bit import PAGED, PLAIN
from lorafa_prof.optim.in_backward import UpdatesInBackward
from lorafa_prof.optim.lora_fa import LoraFaCorrection

F64 = torch.float64
LR, BETAS, EPS, DECAY = 1e-4, (0.9, 0.999), 1e-8, 1e-2


def dynamic_map(signed: bool) -> Tensor:
    """Seven decades with ever finer steps, zero and one: 256 values, or twice 127 with their signs."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (decade + (0 if signed else 1)) + 1, dtype=F64)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6)
        values.extend(middles.tolist())
        if signed:
            values.extend((-middles).tolist())
    return torch.tensor(sorted(values), dtype=F64)


def through_8_bits(values: Tensor, signed: bool) -> Tensor:
    """Quantise to the nearest value of the map by blocks, and back."""
    levels = dynamic_map(signed)
    blocks = nn.functional.pad(values.flatten(), (0, -values.numel() % 256)).view(-1, 256)
    scale = blocks.abs().amax(1, keepdim=True).clamp(min=1e-300)
    nearest = (blocks / scale).unsqueeze(-1).sub(levels).abs().argmin(-1)
    return (levels[nearest] * scale).flatten()[: values.numel()].view_as(values)


class EightBitAdamW(Optimizer):
    """AdamW whose states pass through 8 bits after each step, or through nothing if not `rounded`."""

    def __init__(self, params: list[nn.Parameter], rounded: bool = True) -> None:
        super().__init__(params, {})
        self.rounded = rounded

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for param in self.param_groups[0]["params"]:
            assert param.grad is not None
            gradient, state = param.grad.to(F64), self.state[param]
            first = BETAS[0] * state.get("first", torch.zeros_like(gradient)) + (1 - BETAS[0]) * gradient
            second = BETAS[1] * state.get("second", torch.zeros_like(gradient)) + (1 - BETAS[1]) * gradient**2
            count = state["count"] = state.get("count", 0) + 1
            size = LR * (1 - BETAS[1] ** count) ** 0.5 / (1 - BETAS[0] ** count)
            moved = param.to(F64) - size * first / (second.sqrt() + EPS * (1 - BETAS[1] ** count) ** 0.5)
            param.copy_(moved * (1 - LR * DECAY))
            state["first"] = through_8_bits(first, signed=True) if self.rounded else first
            state["second"] = through_8_bits(second, signed=False) if self.rounded else second


def test_the_quantiser_is_one() -> None:
    assert len(dynamic_map(True)) == 128 + 128
    assert len(dynamic_map(False)) == 256
    values = torch.randn(1000, dtype=F64)
    once = through_8_bits(values, signed=True)
    assert 0 < (once - values).abs().max() < 0.02 * values.abs().max()
    once = through_8_bits(values.square(), signed=False)
    torch.testing.assert_close(through_8_bits(once, signed=False), once)


def layers_of(dtype: torch.dtype) -> nn.ModuleList:
    made = nn.ModuleList(
        LoraFaLinear(
            nn.Linear(40, 60, bias=False, dtype=dtype), rank=5, scale=scale, dropout=0.0, adapter_dtype=dtype
        )
        for scale in (0.5, 2.0)
    )
    for layer in made:
        nn.init.normal_(layer.lora_A)
        nn.init.normal_(layer.lora_B)
    return made


@pytest.mark.parametrize("in_backward", [False, True])
@pytest.mark.parametrize(("dtype", "rtol"), [(F64, 1e-9), (torch.float32, 1e-4)])
def test_states_are_those_of_gradients_that_came_corrected(
    dtype: torch.dtype, rtol: float, in_backward: bool
) -> None:
    layers = layers_of(dtype)
    exact = copy.deepcopy(layers).to(F64)
    trained = [layer.lora_B for layer in layers]
    wide = [layer.lora_B for layer in exact]
    hooked = (
        UpdatesInBackward(trained, EightBitAdamW) if in_backward else EightBitAdamW(trained)  # type: ignore[arg-type]
    )
    hooked.register_step_pre_hook(LoraFaCorrection(layers))  # type: ignore[arg-type]
    plain = EightBitAdamW(wide)
    for _ in range(4):
        pushed = [torch.randn_like(b) for b in trained]
        for layer, b, push in zip(exact, wide, pushed, strict=True):
            gram = layer.lora_A @ layer.lora_A.t()
            b.grad = push.to(F64) @ torch.linalg.inv(gram) / layer.scale**2
        plain.step()
        if in_backward:
            sum((b * push).sum() for b, push in zip(trained, pushed, strict=True)).backward()  # type: ignore[union-attr]
        else:
            for b, push in zip(trained, pushed, strict=True):
                b.grad = push
        hooked.step()
    for ours, theirs in zip(trained, wide, strict=True):
        # A value on the border of two levels may fall to either side; by then it is a level, not a rounding.
        for name, level in (("first", 0.02), ("second", 0.02)):
            mine, other = hooked.state[ours][name], plain.state[theirs][name]
            torch.testing.assert_close(mine, other, rtol=rtol, atol=float(other.abs().max()) * level)
            close = torch.isclose(mine, other, rtol=rtol, atol=1e-12)
            assert close.double().mean() > (0.97 if dtype != F64 else 0.999)
        torch.testing.assert_close(ours.to(F64), theirs, rtol=rtol, atol=LR * 0.1)


def test_rounding_states_changes_the_update_far_less_than_leaving_the_correction_out() -> None:
    """Against AdamW in float64 that rounds nothing, on the corrected gradient."""
    layers = layers_of(F64)
    start = [layer.lora_B.detach().clone() for layer in layers]
    pushed = [[torch.randn_like(b) for b in start] for _ in range(4)]

    def moved(rounded: bool, corrected: bool) -> Tensor:
        model = copy.deepcopy(layers)
        trained = [layer.lora_B for layer in model]
        optimizer = EightBitAdamW(trained, rounded)
        if corrected:
            optimizer.register_step_pre_hook(LoraFaCorrection(model))  # type: ignore[arg-type]
        for gradients in pushed:
            for b, gradient in zip(trained, gradients, strict=True):
                b.grad = gradient.clone()
            optimizer.step()
        return torch.cat([(b - was).detach().flatten() for b, was in zip(trained, start, strict=True)])

    exact = moved(rounded=False, corrected=True)
    off = (moved(rounded=True, corrected=True) - exact).norm() / exact.norm()
    uncorrected = (moved(rounded=True, corrected=False) - exact).norm() / exact.norm()
    assert 0 < off < 0.15
    assert uncorrected > 3 * off


@pytest.mark.parametrize("name", [PLAIN, PAGED])
def test_the_optimizer_is_handed_the_corrected_gradient_itself(name: str) -> None:
    """On shapes, with the stand-in for bitsandbytes: its first look at a gradient is after the correction."""
    layer = LoraFaLinear(
        nn.Linear(64, 80, bias=False, device="meta"),
        rank=64,
        scale=1.0,
        dropout=0.0,
        adapter_dtype=torch.float32,
    )
    optimizer = make_optimizer(name, [layer.lora_B])
    optimizer.register_step_pre_hook(LoraFaCorrection([layer]))
    formed = layer.lora_B.grad = torch.empty_like(layer.lora_B)
    seen: list[Tensor] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(layer.lora_B.grad))  # type: ignore[arg-type,func-returns-value]
    optimizer.step()
    assert seen[0] is not formed
    assert layer.lora_B.grad is seen[0]
    assert optimizer.state[layer.lora_B]["step"] == 1
