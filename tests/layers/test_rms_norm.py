"""The fused RMS norm against PyTorch's own: its values, and what it keeps and makes."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import Operations
from torch import Tensor

from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.layers.rms_norm import rms_norm

EPSILON = 1e-5


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """X of this shape, and a weight as long as its last dimension."""
    torch.manual_seed(0)
    x, weight = 3 * torch.randn(shape), 1 + 0.3 * torch.randn(shape[-1:])
    return x.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return rms_norm(x, weight, EPSILON, rounded_to=x.dtype)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4))
@settings(max_examples=40)
def test_values_and_gradients_are_pytorchs_whatever_the_shape(shape: list[int]) -> None:
    x, weight = draw(*shape)
    ours, theirs = norm(x, weight), F.rms_norm(x, shape[-1:], weight, EPSILON)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    incoming = torch.randn_like(ours)
    for gradient, expected in zip(
        torch.autograd.grad(ours, (x, weight), incoming),
        torch.autograd.grad(theirs, (x, weight), incoming),
        strict=True,
    ):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(norm, draw(2, 3, 5))


def test_an_input_that_lies_otherwise_in_memory() -> None:
    x, weight = draw(2, 3, 5, 4)
    torch.testing.assert_close(norm(x.transpose(1, 2), weight), norm(x, weight).transpose(1, 2))


@pytest.mark.parametrize("trained", ["both", "x", "weight"])
def test_only_gradients_that_are_asked_for_are_formed(trained: str) -> None:
    x, weight = draw(2, 3, 5)
    norm(x, weight).sum().backward()
    expected = {"x": x.grad, "weight": weight.grad}
    again = {"x": x.detach(), "weight": weight.detach()}
    wanted = {name: again[name].requires_grad_() for name in again if trained in (name, "both")}
    y = norm(**again).sum()
    with Operations() as ran:
        y.backward()
    assert all(torch.equal(tensor.grad, expected[name]) for name, tensor in wanted.items())
    # The weight's gradient is a sum over rows, x's takes a mean over each.
    formed = {("weight", "aten.sum.dim_IntList"), ("x", "aten.mean.dim")}
    assert {name for name, operation in formed if operation in ran.names} == set(wanted)


@pytest.mark.parametrize("weight_trains", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_it_keeps_the_input_itself_and_four_bytes_a_row(dtype: torch.dtype, weight_trains: bool) -> None:
    x, weight = draw(4, 6, 32, dtype=dtype)
    weight.requires_grad_(weight_trains)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        norm(x, weight)
    before = {tensor.data_ptr() for tensor in (x, weight)}
    (rows,) = [tensor for tensor in kept if tensor.data_ptr() not in before]
    assert len(kept) == 3
    assert rows.untyped_storage().nbytes() == 4 * 6 * 4


@pytest.mark.parametrize(("trained", "tensors_in_float32"), [("both", 2), ("x", 2), ("weight", 1)])
def test_backward_makes_at_most_two_wide_tensors_at_once(trained: str, tensors_in_float32: int) -> None:
    x, weight = draw(8, 16, 256, dtype=torch.bfloat16)
    for name, tensor in (("x", x), ("weight", weight)):
        tensor.requires_grad_(trained in (name, "both"))
    y = norm(x, weight)
    incoming = torch.randn_like(y)
    with StorageFollower("cpu") as follower:
        follower.adopt([x, weight, y, incoming])
        before = follower.live_bytes
        y.backward(incoming)
        most = follower.peak_bytes - before
    wide, small = 4 * x.numel(), 4 * 4 * (8 * 16 + 256)
    assert tensors_in_float32 * wide <= most < tensors_in_float32 * wide + small


@pytest.mark.parametrize(("dtype", "weight_dtype"), [*product([torch.float32, torch.bfloat16], repeat=2)])
def test_gradients_have_the_types_of_what_they_belong_to(
    dtype: torch.dtype, weight_dtype: torch.dtype
) -> None:
    x, weight = draw(2, 3, 8, dtype=dtype)[0], draw(1, 8, dtype=weight_dtype)[1]
    norm(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
    assert (x.grad.dtype, weight.grad.dtype) == (dtype, weight_dtype)


def test_it_reads_no_values() -> None:
    x, weight = (t.detach().to("meta").requires_grad_() for t in draw(2, 3, 8, dtype=torch.bfloat16))
    norm(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is not None
    assert (x.grad.shape, weight.grad.shape) == (x.shape, weight.shape)
