"""The fused loss against PyTorch's and transformers' own: its values, and what it makes and keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import Operations
from torch import Tensor
from transformers.loss.loss_utils import ForCausalLMLoss

from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.layers.fused_linear_cross_entropy import (
    IGNORED,
    FusedLinearCrossEntropyLoss,
    chunk_rows,
)

fused = FusedLinearCrossEntropyLoss()


@dataclass
class Problem:
    """Hidden states [batch, seq, h], weight [v, h], bias [v] or None, labels [batch, seq]."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    labels: Tensor

    @classmethod
    def draw(
        cls,
        batch: int = 2,
        seq: int = 9,
        h: int = 4,
        v: int = 23,
        *,
        bias: bool = False,
        ignored: float = 0.3,
        dtype: torch.dtype = torch.float64,
        seed: int = 0,
    ) -> Problem:
        torch.manual_seed(seed)
        labels = torch.randint(v, (batch, seq))
        labels[torch.rand(batch, seq) < ignored] = IGNORED
        labels[0, 1] = v - 1  # the mean over none would be nan
        tensors = [torch.randn(batch, seq, h), torch.randn(v, h), torch.randn(v)]
        hidden, weight, drawn = (tensor.to(dtype).requires_grad_() for tensor in tensors)
        return cls(hidden, weight, drawn if bias else None, labels)

    @property
    def tensors(self) -> list[Tensor]:
        return [t for t in (self.hidden, self.weight, self.bias) if t is not None]

    def fused(self, **options: Any) -> Tensor:
        return fused(self.hidden, self.weight, self.bias, self.labels, **options)

    def eager(self, **options: Any) -> Tensor:
        logits = F.linear(self.hidden, self.weight, self.bias)
        return ForCausalLMLoss(logits, self.labels, vocab_size=len(self.weight), **options)

    def eager_in_float64(self) -> Tensor:
        """As transformers' loss, which would round the logits to float32."""
        logits = F.linear(self.hidden, self.weight, self.bias)[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1), self.labels[:, 1:].flatten())


def close(ours: Tensor, theirs: Tensor, **tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, **{"rtol": 0.0, "atol": 1e-10, **tolerance})


@given(
    st.integers(1, 3), st.integers(2, 12), st.integers(1, 6), st.integers(2, 60), st.booleans(),
    st.floats(0, 1), st.floats(-3, 3),
)  # fmt: skip
@settings(max_examples=60)
def test_loss_and_gradients_are_those_of_cross_entropy_whatever_the_shape(
    batch: int, seq: int, h: int, v: int, bias: bool, ignored: float, incoming: float
) -> None:
    problem = Problem.draw(batch, seq, h, v, bias=bias, ignored=ignored)
    ours, theirs = problem.fused(), problem.eager_in_float64()
    assert ours.dtype == torch.float64
    close(ours, theirs)
    for gradient, expected in zip(
        torch.autograd.grad(ours * incoming, problem.tensors),
        torch.autograd.grad(theirs * incoming, problem.tensors),
        strict=True,
    ):
        close(gradient, expected)


@pytest.mark.parametrize("items", [None, 7, torch.tensor(7)], ids=["mean", "number", "tensor"])
@pytest.mark.parametrize("bias", [False, True])
def test_in_float32_it_is_transformers_loss(bias: bool, items: Any) -> None:
    problem = Problem.draw(bias=bias, dtype=torch.float32)
    ours, theirs = (loss(num_items_in_batch=items) for loss in (problem.fused, problem.eager))
    close(ours, theirs, rtol=1e-6)
    for gradient, expected in zip(
        torch.autograd.grad(ours, problem.tensors), torch.autograd.grad(theirs, problem.tensors), strict=True
    ):
        close(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bit_the_loss_is_float32_and_gradients_are_rounded_as_transformers_are(
    dtype: torch.dtype,
) -> None:
    problem = Problem.draw(v=64, dtype=dtype)
    ours, theirs = problem.fused(), problem.eager()
    assert ours.dtype == torch.float32
    close(ours, theirs, rtol=1e-6)
    for gradient, expected in zip(
        torch.autograd.grad(ours, problem.tensors), torch.autograd.grad(theirs, problem.tensors), strict=True
    ):
        assert gradient.dtype == dtype
        # The weight's is rounded once a chunk, sixteen times here.
        close(gradient, expected, atol=16 * torch.finfo(dtype).eps * float(expected.abs().max()))


def test_softmax_does_not_overflow() -> None:
    problem = Problem.draw(dtype=torch.float32)
    with torch.no_grad():
        problem.weight.mul_(1e4)
    loss = problem.fused()
    close(loss, problem.eager(), rtol=1e-6)
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(loss, problem.tensors))


@given(st.integers(1, 10**5), st.integers(1, 10**4), st.integers(1, 3 * 10**5))
def test_a_chunk_has_the_least_power_of_two_of_rows_that_ligers_rule_asks_for(n: int, h: int, v: int) -> None:
    rows, parts = chunk_rows(n, h, v), -(-v // h)
    assert rows & (rows - 1) == 0
    assert rows * parts >= n
    assert rows == 1 or rows // 2 * parts < n


def test_a_llama_has_eight_chunks() -> None:
    # 32,000 / 4,096 is 7.8.
    assert chunk_rows(8 * 1024, 4096, 32000) == 1024


@pytest.mark.parametrize("trained", [False, True])
def test_the_most_it_holds_is_one_chunk_twice_beside_the_gradients(trained: bool) -> None:
    problem = Problem.draw(4, 64, h=32, v=512, dtype=torch.float32)
    problem.weight.requires_grad_(trained)
    kept = problem.hidden.nbytes + (problem.weight.nbytes if trained else 0)
    chunk = 256 // (512 // 32) * 512 * 4  # its logits, or log-probabilities, in float32
    with StorageFollower("cpu") as follower:
        follower.adopt([*problem.tensors, problem.labels])
        before = follower.live_bytes
        problem.fused()
        most = follower.peak_bytes - before
    # All logits, and their log-probabilities, would be 32 chunks.
    assert kept + 2 * chunk < most < kept + 2.5 * chunk


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        (set(), 18 * 4 + 23 * 4 + 23),
        ({"weight"}, 18 * 4 + 23),
        ({"weight", "bias"}, 18 * 4),
        ({"hidden"}, 23 * 4 + 23),
    ],
)
def test_only_gradients_that_are_asked_for_are_kept(frozen: set[str], expected: int) -> None:
    problem = Problem.draw(2, 9, h=4, v=23, bias=True)
    for name in frozen:
        getattr(problem, name).requires_grad_(False)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        problem.fused().backward()
    assert sum(kept.values()) == expected * 8
    trained = {name for name in ("hidden", "weight", "bias") if getattr(problem, name).grad is not None}
    assert trained == {"hidden", "weight", "bias"} - frozen


def operations(run: Callable[[], Any]) -> Counter[str]:
    with Operations() as ran:
        run()
    return Counter(ran.names)


def test_gradients_are_formed_in_forward_and_only_scaled_in_backward() -> None:
    problem = Problem.draw(2, 8, h=4, v=16)
    chunks = 16 // 4
    ran = operations(lambda: problem.fused())
    assert (ran["aten.mm.default"], ran["aten.addmm_.default"]) == (chunks, 2 * chunks)
    loss = problem.fused()
    assert operations(loss.backward)["aten.mul_.Tensor"] == 2
    assert not {"aten.mm.default", "aten.addmm_.default"} & operations(problem.fused().backward).keys()


def test_without_gradients_none_is_formed() -> None:
    problem = Problem.draw(2, 8, h=4, v=16)
    with torch.no_grad():
        ran = operations(lambda: close(problem.fused(), problem.eager_in_float64()))
    assert "aten.addmm_.default" not in ran
    assert not {"aten.exp_.default", "aten.index_put_.default"} & ran.keys()


def test_a_second_backward_is_an_error_and_not_a_wrong_gradient() -> None:
    loss = Problem.draw().fused()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_it_reads_no_values() -> None:
    problem = Problem.draw(bias=True, dtype=torch.bfloat16)
    hidden, weight, bias = (t.detach().to("meta").requires_grad_() for t in problem.tensors)
    loss = fused(hidden, weight, bias, problem.labels.to("meta"))
    loss.backward()
    assert loss.is_meta
    assert [t.grad.shape for t in (hidden, weight, bias)] == [t.shape for t in problem.tensors]
