"""After the correction s · dB A is the projection of the full gradient onto the rows of A, in float64.

The projection is found another way, by an orthonormal basis of A's rows.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import Operations
from torch import Tensor, nn

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.layers.low_rank_linear import LoraFaLinear
from lorafa_prof.layers.low_rank_weight import LoraFaWeight
from lorafa_prof.methods.low_rank_options import scale_of
from lorafa_prof.optim.choices import make_optimizer
from lorafa_prof.optim.lora_fa import LoraFaCorrection

F64 = torch.float64
EPS = torch.finfo(F64).eps


def orthonormal(rows: int, columns: int) -> Tensor:
    return torch.linalg.qr(torch.randn(columns, rows, dtype=F64)).Q.T.contiguous()


def conditioned(rank: int, n_in: int, condition: float) -> Tensor:
    """A whose largest singular value is `condition` times its smallest."""
    values = torch.logspace(0, -torch.tensor(condition).log10(), rank, dtype=F64)
    return orthonormal(rank, rank) @ (values[:, None] * orthonormal(rank, n_in))


def layer_of(a: Tensor, n_out: int, scale: float) -> LoraFaLinear:
    rank, n_in = a.shape
    base = nn.Linear(n_in, n_out, bias=False, dtype=a.dtype)
    layer = LoraFaLinear(base, rank=rank, scale=scale, dropout=0.0, adapter_dtype=a.dtype)
    with torch.no_grad():
        layer.lora_A.copy_(a)
        layer.lora_B.normal_()
    return layer


def projection_and_ours(layer: LoraFaLinear, at_once_bytes: int = 0) -> tuple[Tensor, Tensor]:
    """The full gradient projected onto A's rows, and s · dB A with the corrected gradient of B."""
    x = torch.randn(9, layer.base.in_features, dtype=F64)
    upstream = torch.randn(9, layer.base.out_features, dtype=F64)
    (layer(x) * upstream).sum().backward()
    LoraFaCorrection([layer], at_once_bytes)(make_optimizer("sgd", [layer.lora_B]), (), {})
    a = layer.lora_A.detach()
    basis = torch.linalg.qr(a.T).Q
    assert layer.lora_B.grad is not None
    return (upstream.T @ x @ basis) @ basis.T, layer.scale * layer.lora_B.grad @ a


def relative(ours: Tensor, exact: Tensor) -> float:
    return float((ours - exact).norm() / exact.norm())


@given(
    rank=st.one_of(st.integers(1, 24), st.sampled_from([32, 64, 128, 255, 256])),
    extra=st.sampled_from([0, 1, 7, 64, 300]),
    n_out=st.sampled_from([1, 5, 33]),
    alpha=st.floats(0.05, 64),
    rslora=st.booleans(),
    condition=st.sampled_from([1.0, 3.0, 1e2, 1e4]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_at_any_rank_scale_and_condition(
    rank: int, extra: int, n_out: int, alpha: float, rslora: bool, condition: float, seed: int
) -> None:
    torch.manual_seed(seed)
    a = conditioned(rank, rank + extra, condition)
    layer = layer_of(a, n_out, scale_of(alpha, rank, rslora=rslora))
    # A A^T has the square of A's condition.
    assert relative(*reversed(projection_and_ours(layer))) < 100 * EPS * max(condition**2, rank)


@given(rank=st.integers(1, 16), seed=st.integers(0, 2**31), lengths=st.floats(1, 12))
@settings(max_examples=30, deadline=None)
def test_rows_of_very_different_lengths_cost_nothing(rank: int, seed: int, lengths: float) -> None:
    torch.manual_seed(seed)
    a = orthonormal(rank, 40) * torch.logspace(lengths / 2, -lengths / 2, rank, dtype=F64)[:, None]
    assert relative(*reversed(projection_and_ours(layer_of(a, 5, 0.5)))) < 1e-10


@pytest.mark.parametrize("condition", [1e8, 1e12])
@pytest.mark.parametrize("rank", [2, 16, 64])
def test_what_float64_cannot_invert_is_an_error_that_names_it(rank: int, condition: float) -> None:
    layer = layer_of(conditioned(rank, 80, condition), 5, 1.0)
    layer.path = "model.layers.3.mlp.up_proj"
    with pytest.raises(UsageError, match=r"A of the adapter 'model\.layers\.3\.mlp\.up_proj' has rows"):
        LoraFaCorrection([layer])


def test_what_is_no_number_is_an_error_too() -> None:
    layer = layer_of(torch.full((2, 8), torch.nan, dtype=F64), 5, 1.0)
    with pytest.raises(UsageError, match="A of the adapter '' has rows"):
        LoraFaCorrection([layer])


def test_of_experts_each_by_its_own() -> None:
    weight = nn.Parameter(torch.randn(3, 10, 12, dtype=F64), requires_grad=False)
    adapter = LoraFaWeight(weight, turned=False, rank=4, scale=0.7, dropout=0.0, adapter_dtype=F64)
    nn.init.normal_(adapter.lora_B)
    x, upstream = torch.randn(3, 6, 12, dtype=F64), torch.randn(3, 6, 10, dtype=F64)
    ((adapter(weight).mT.times_each(x)) * upstream).sum().backward()
    optimizer = make_optimizer("sgd", [adapter.lora_B])
    LoraFaCorrection([adapter], 1 << 30)(optimizer, (), {})
    for expert, a in enumerate(adapter.lora_A.detach()):
        basis = torch.linalg.qr(a.T).Q
        full = upstream[expert].T @ x[expert]
        assert relative(adapter.scale * adapter.lora_B.grad[expert] @ a, full @ basis @ basis.T) < 1e-12  # type: ignore[index]


class Layers(nn.ModuleList):
    def forward(self, x: Tensor) -> Any:
        return sum((layer(x) * (number + 1)).pow(2).sum() for number, layer in enumerate(self))


def many_layers() -> Layers:
    """Layers of three shapes of B, each with a rank and a scale of its own."""
    return Layers(
        layer_of(torch.randn(rank, 12, dtype=F64), n_out, 0.3 * (1 + rank))
        for rank, n_out in [(3, 5), (3, 5), (2, 5), (3, 7), (3, 5), (3, 5), (2, 5), (3, 5)]
    )


def corrected(layers: Layers, at_once_bytes: int, without: int | None = None) -> list[Tensor | None]:
    layers.zero_grad()
    layers(torch.linspace(-1, 1, 48, dtype=F64).view(4, 12)).backward()
    if without is not None:
        layers[without].lora_B.grad = None
    optimizer = make_optimizer("sgd", [layer.lora_B for layer in layers])
    LoraFaCorrection(layers, at_once_bytes)(optimizer, (), {})  # type: ignore[arg-type]
    return [layer.lora_B.grad for layer in layers]


@pytest.mark.parametrize("without", [None, 0, 3])
@pytest.mark.parametrize("at_once_bytes", [1, 250, 1 << 20])
def test_together_they_are_what_they_are_each(at_once_bytes: int, without: int | None) -> None:
    layers = many_layers()
    each, together = (corrected(layers, size, without) for size in (0, at_once_bytes))
    for number, (ours, expected) in enumerate(zip(together, each, strict=True)):
        assert (ours is None) == (number == without)
        if expected is not None:
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=0)


def alike(count: int) -> Layers:
    return Layers(layer_of(torch.randn(4, 12, dtype=F64), 8, 0.5) for _ in range(count))


def prepared(count: int, at_once: int) -> tuple[Any, Any, Layers]:
    """A correction of `count` layers, `at_once` at once, and the optimizer that it runs before."""
    layers = alike(count)
    layers(torch.randn(4, 12, dtype=F64)).backward()
    optimizer = make_optimizer("adamw", [layer.lora_B for layer in layers])
    return LoraFaCorrection(layers, at_once * layers[0].lora_B.nbytes), optimizer, layers  # type: ignore[arg-type]


@pytest.mark.parametrize(("at_once", "products"), [(0, 20), (8, 3), (20, 1), (99, 1)])
def test_as_many_products_as_there_are_batches(at_once: int, products: int) -> None:
    correction, optimizer, _ = prepared(20, at_once)
    with Operations() as ran:
        correction(optimizer, (), {})
    assert ran.names.count("aten.bmm.default") == (products if at_once else 0)
    assert ran.names.count("aten.stack.default") + ran.names.count("aten.cat.default") == (
        products if at_once else 0
    )
    assert ran.names.count("aten.mm.default") == (0 if at_once else products)
    assert not [name for name in ran.names if "item" in name or "_local_scalar" in name]


@pytest.mark.parametrize("at_once", [0, 4, 10])
def test_no_more_is_held_at_once_than_one_batch(at_once: int) -> None:
    correction, optimizer, layers = prepared(20, at_once)
    with StorageFollower("cpu") as follower:
        follower.adopt([tensor for b in layers.parameters() for tensor in (b, b.grad) if tensor is not None])
        follower.adopt(correction.tensors)
        before = follower.live_bytes
        correction(optimizer, (), {})
        assert follower.live_bytes == before
        assert follower.peak_bytes - before == max(1, at_once) * layers[0].lora_B.nbytes


def test_updates_in_backward_are_corrected_one_at_a_time() -> None:
    layers = alike(4)
    optimizer = make_optimizer("sgd", layers.parameters(), "backward")
    optimizer.register_step_pre_hook(LoraFaCorrection(layers, 1 << 30))  # type: ignore[arg-type]
    x = torch.randn(4, 12, dtype=F64)
    other = Layers(layer_of(layer.lora_A.detach(), 8, 0.5) for layer in layers)
    other.load_state_dict(layers.state_dict())
    late = make_optimizer("sgd", [layer.lora_B for layer in other])
    late.register_step_pre_hook(LoraFaCorrection(other))  # type: ignore[arg-type]
    for each, end in ((layers, optimizer), (other, late)):
        each(x).backward()
        end.step()
    for ours, expected in zip(layers, other, strict=True):
        assert torch.equal(ours.lora_B, expected.lora_B)
