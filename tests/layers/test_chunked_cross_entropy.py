"""The chunked loss against PyTorch's own: its values in float64, and what it makes and keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import Operations
from torch import Tensor, nn
from transformers.loss.loss_utils import ForCausalLMLoss

from lorafa_prof.errors import UsageError
from lorafa_prof.instruments.memory.storages import StorageFollower
from lorafa_prof.layers import chunked_cross_entropy
from lorafa_prof.layers.chunked_cross_entropy import LOGITS_BYTES, ChunkedCrossEntropy, rows_of_a_chunk
from lorafa_prof.layers.chunked_logits import ChunkedLogits
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear

IGNORED = -100


@contextmanager
def chunks_of(rows: int, vocabulary: int) -> Iterator[None]:
    """A context in which a chunk has at most so many rows."""
    with patch.object(chunked_cross_entropy, "LOGITS_BYTES", 4 * rows * vocabulary):
        yield


def later(head: nn.Module, hidden: Tensor) -> Any:
    trains = [p for p in head.parameters() if p.requires_grad]
    weight: Any = head.weight
    return ChunkedLogits(hidden, head, trains, len(weight), ChunkedCrossEntropy())


@dataclass
class Problem:
    """Hidden states [batch, seq, h], a head, labels [batch, seq]."""

    hidden: Tensor
    head: nn.Module
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
    ) -> Problem:
        labels = torch.randint(v, (batch, seq))
        labels[torch.rand(batch, seq) < ignored] = IGNORED
        labels[0, 1] = v - 1  # the mean over none would be nan
        head = nn.Linear(h, v, bias=bias, dtype=dtype)
        nn.init.normal_(head.weight)
        return cls(torch.randn(batch, seq, h, dtype=dtype, requires_grad=True), head, labels)

    @property
    def tensors(self) -> list[Tensor]:
        return [t for t in (self.hidden, *self.head.parameters()) if t.requires_grad]

    @property
    def vocabulary(self) -> int:
        weight: Any = self.head.weight
        return len(weight)


def plain_loss(logits: Any, labels: Tensor, **options: Any) -> Tensor:
    """As a model takes it, with its shift; transformers' own would round the logits to float32."""
    shifted = logits[..., :-1, :].contiguous().view(-1, logits.shape[-1])
    return F.cross_entropy(shifted, labels[..., 1:].reshape(-1), **options)


def close(ours: Any, theirs: Any, **tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, **{"rtol": 0.0, "atol": 1e-10, **tolerance})


def assert_same(problem: Problem, rows: int, loss_of: Any, incoming: float = 1.0, **tolerance: float) -> None:
    with chunks_of(rows, problem.vocabulary):
        ours = loss_of(later(problem.head, problem.hidden))
    theirs = loss_of(problem.head(problem.hidden))
    assert ours.dtype == theirs.dtype
    close(ours, theirs, **tolerance)
    found = [torch.autograd.grad(loss * incoming, problem.tensors) for loss in (ours, theirs)]
    close(*found, **tolerance)


@given(
    st.integers(1, 3), st.integers(2, 12), st.integers(1, 6), st.integers(2, 60), st.booleans(),
    st.floats(0, 1), st.floats(-3, 3), st.integers(1, 40), st.sampled_from(["mean", "sum"]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_loss_and_gradients_are_those_of_cross_entropy_whatever_the_shape_and_chunk(
    batch: int, seq: int, h: int, v: int, bias: bool, ignored: float, incoming: float, rows: int, how: str
) -> None:
    torch.manual_seed(0)
    problem = Problem.draw(batch, seq, h, v, bias=bias, ignored=ignored)
    assert_same(problem, rows, lambda logits: plain_loss(logits, problem.labels, reduction=how), incoming)


def caps_and_scales(logits: Any) -> Any:
    """What Gemma 2, Cohere, Granite and BART do to their logits, one after the other."""
    return torch.tanh(logits / 3.0) * 3.0 * torch.tensor(0.7) / 1.3 + torch.linspace(-1, 1, logits.shape[-1])


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_what_is_done_to_logits_is_done_to_each_chunk(rows: int) -> None:
    problem = Problem.draw(bias=True)
    assert_same(problem, rows, lambda logits: plain_loss(caps_and_scales(logits), problem.labels))


@pytest.mark.parametrize("kind", [LoraLinear, LoraFaLinear])
def test_a_heads_adapter_trains(kind: Any) -> None:
    problem = Problem.draw()
    problem.head = kind(problem.head, rank=2, scale=0.7, dropout=0.0, adapter_dtype=torch.float64)
    nn.init.normal_(problem.head.lora_B)
    assert len(problem.tensors) == (3 if kind is LoraLinear else 2)
    assert_same(problem, 4, lambda logits: plain_loss(logits, problem.labels))


@pytest.mark.parametrize("frozen", [set(), {"weight"}, {"weight", "bias"}, {"hidden"}])
def test_only_gradients_that_are_asked_for_are_kept(frozen: set[str]) -> None:
    problem = Problem.draw(2, 9, h=4, v=23, bias=True)
    tensors = {"hidden": problem.hidden, "weight": problem.head.weight, "bias": problem.head.bias}
    for name in frozen:
        tensors[name].requires_grad_(False)  # type: ignore[operator]
    loss = plain_loss(later(problem.head, problem.hidden), problem.labels)
    kept = [t.numel() for t in loss.grad_fn.saved_tensors if t is not None]  # type: ignore[union-attr]
    tokens = 2 * 8 * 4
    assert kept == [
        count for name, count in (("hidden", tokens), ("weight", 23 * 4), ("bias", 23)) if name not in frozen
    ]


@pytest.mark.parametrize("items", [None, 7, torch.tensor(7)], ids=["mean", "number", "tensor"])
def test_it_is_transformers_loss_with_a_number_of_items(items: Any) -> None:
    problem = Problem.draw(dtype=torch.float32)
    assert_same(
        problem,
        4,
        lambda logits: ForCausalLMLoss(logits, problem.labels, 23, num_items_in_batch=items),
        rtol=1e-5,
        atol=1e-6,
    )


def test_another_ignored_index() -> None:
    problem = Problem.draw(ignored=0.0)
    problem.labels[0, 3:6] = 2
    assert_same(problem, 4, lambda logits: plain_loss(logits, problem.labels, ignore_index=2))


def test_without_gradients_none_is_formed() -> None:
    problem = Problem.draw()
    expected = plain_loss(problem.head(problem.hidden), problem.labels)
    with torch.no_grad(), Operations() as ran:
        close(plain_loss(later(problem.head, problem.hidden), problem.labels), expected.detach())
    assert not {"aten.exp_.default", "aten.index_put_.default"} & set(ran.names)


def test_a_narrow_weights_gradient_is_rounded_once_however_many_chunks() -> None:
    problem = Problem.draw(8, 65, h=16, v=32, dtype=torch.bfloat16, ignored=0.0)
    with chunks_of(1, 32):
        many = torch.autograd.grad(
            plain_loss(later(problem.head, problem.hidden), problem.labels), problem.head.weight
        )
    wide = Problem(
        problem.hidden.detach().double(), nn.Linear(16, 32, bias=False, dtype=torch.float64), problem.labels
    )
    wide.head.weight.data = problem.head.weight.detach().double()  # type: ignore[union-attr]
    (exact,) = torch.autograd.grad(plain_loss(wide.head(wide.hidden), wide.labels), wide.head.weight)
    error = float((many[0].double() - exact).norm() / exact.norm())
    # 512 additions in bf16 would be off by more than 3 %.
    assert error < 0.012


def test_in_float16_gradients_that_the_loss_is_scaled_for_are_not_lost() -> None:
    problem = Problem.draw(4, 513, h=8, v=64, dtype=torch.float16, ignored=0.0)
    with torch.no_grad():
        problem.hidden.mul_(1e-3)
        problem.head.weight.mul_(1e-3)  # type: ignore[operator]
    scale = 2.0**16

    def gradient(logits: Any) -> Tensor:
        loss = plain_loss(logits.float(), problem.labels)
        return torch.autograd.grad(loss * scale, problem.hidden)[0].double()

    with chunks_of(64, 64):
        ours = gradient(later(problem.head, problem.hidden))
    theirs = gradient(problem.head(problem.hidden))
    assert theirs.abs().max() > 0
    close(ours, theirs, rtol=0.01, atol=float(theirs.abs().max()) * 2e-3)


@pytest.mark.parametrize(
    ("vocabulary", "rows"), [(32_000, 2048), (128_256, 512), (256_000, 256), (1 << 40, 1)]
)
def test_logits_of_a_chunk_are_bounded_whatever_the_vocabulary(vocabulary: int, rows: int) -> None:
    assert rows_of_a_chunk(vocabulary) == rows
    assert rows == 1 or rows * vocabulary * 4 <= LOGITS_BYTES


@pytest.mark.parametrize(("capped", "times"), [(False, 2.5), (True, 5.5)])
@pytest.mark.parametrize("trained", [False, True])
def test_the_most_it_holds_is_a_few_times_a_chunk_beside_the_gradients(
    trained: bool, capped: bool, times: float
) -> None:
    """The same for short and long sequences, small and large vocabularies; a cap holds its tanh."""
    bytes_at_once = 32 << 10
    for tokens, vocabulary in ((64, 128), (1024, 128), (1024, 1024)):
        problem = Problem.draw(1, tokens, h=8, v=vocabulary, dtype=torch.float32)
        problem.head.requires_grad_(trained)
        kept = problem.hidden.nbytes + (problem.head.weight.nbytes * 2 if trained else 0)  # type: ignore[operator]
        with (
            patch.object(chunked_cross_entropy, "LOGITS_BYTES", bytes_at_once),
            StorageFollower("cpu") as follower,
        ):
            follower.adopt([*problem.tensors, *problem.head.parameters(), problem.labels])
            before = follower.live_bytes
            logits = later(problem.head, problem.hidden)
            plain_loss((logits / 3.0).tanh() * 3.0 if capped else logits, problem.labels)
            most = follower.peak_bytes - before
        targets = 3 * 8 * tokens  # and which of them count
        assert most < kept + times * bytes_at_once + targets + problem.hidden.nbytes


def test_a_second_backward_is_an_error_and_not_a_wrong_gradient() -> None:
    problem = Problem.draw()
    loss = plain_loss(later(problem.head, problem.hidden), problem.labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda z: z.view(-1, 46), "view"),
        (lambda z: z[..., :5], ""),
        (lambda z: z[0, 0, 3], ""),
        (lambda z: z * torch.ones(2, 9, 1), "another tensor"),
        (lambda z: z + z, "another tensor"),
        (lambda z: torch.softmax(z, -1), "softmax"),
        (
            lambda z: F.cross_entropy(z.view(-1, 23), torch.zeros(18, dtype=torch.long), label_smoothing=0.1),
            "0.1",
        ),
        (
            lambda z: F.cross_entropy(z.view(-1, 23), torch.zeros(18, dtype=torch.long), reduction="none"),
            "none",
        ),
        (lambda z: F.cross_entropy(z, torch.zeros(2, 23, dtype=torch.long)), "3 dimensions"),
    ],
)
def test_another_use_is_an_error_and_no_wrong_loss(use: Any, what: str) -> None:
    problem = Problem.draw()
    with pytest.raises(
        UsageError, match=rf"does not know what the model does to its logits.*{what}"
    ) as caught:
        use(later(problem.head, problem.hidden))
    assert caught.value.about == "loss"
