"""Measuring any code on the CPU: every number against a computation by hand, or found by another way."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cells import step_of, tiny_cell
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from toy_step import NUMBERS
from toy_steps import TOY_STEPS, ToyStep, bound, returns_the_loss

from lorafa_prof.errors import UsageError
from lorafa_prof.profiling.profile import profile
from lorafa_prof.profiling.result import Profile
from lorafa_prof.running.measure import measure_cell

VECTOR, SCALAR = 4 * NUMBERS, 4
LARGE = 2**22


@pytest.mark.parametrize("step", TOY_STEPS, ids=lambda step: step.__name__)
def test_every_number_of_a_known_step(step: ToyStep) -> None:
    (held_vectors, held_scalars), (peak_vectors, peak_scalars) = TOY_STEPS[step]
    taken = profile(bound(step, "cpu")[0])
    assert taken.activation_bytes == held_vectors * VECTOR + held_scalars * SCALAR
    assert taken.saved_bytes == VECTOR
    assert taken.peak_bytes == peak_vectors * VECTOR + peak_scalars * SCALAR
    assert taken.device == "cpu"


def test_saved_tensors_are_told_with_their_module_and_line() -> None:
    step, model = bound(returns_the_loss, "cpu")
    for given_model in (model, None):
        (storage,) = profile(step, model=given_model).tensors
        assert (storage.op, storage.kind, storage.shape, storage.dtype) == (
            "exp",
            "other",
            (NUMBERS,),
            "float32",
        )
        assert (storage.module, storage.nbytes, storage.from_before) == ("", VECTOR, False)
        assert storage.line.startswith("tests/toy_step.py:")


def test_saved_tensors_are_the_largest_first() -> None:
    model = nn.Sequential(
        nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 16), nn.Tanh()
    )
    x = torch.rand(2, 8)
    taken = profile(lambda: model(x).sum())
    assert [(s.module, s.nbytes) for s in taken.tensors] == [("3", 512), ("5", 128), ("1", 32)]


def test_it_is_called_for_warm_up_to_record_and_to_measure() -> None:
    calls: list[int] = []
    for warmup in (0, 1, 3):
        calls.clear()
        profile(lambda: calls.append(1), warmup=warmup, device="cpu")
        assert len(calls) == warmup + 2


def test_what_the_first_call_takes_is_not_of_the_steady_one() -> None:
    cache: dict[str, Tensor] = {}

    def step() -> Tensor:
        if not cache:
            torch.empty(LARGE, dtype=torch.uint8)
            cache["table"] = torch.rand(NUMBERS)
        return cache["table"] + 1

    taken = profile(step)
    assert (taken.activation_bytes, taken.saved_bytes, taken.peak_bytes) == (VECTOR, 0, VECTOR)


def test_what_needs_no_gradient_is_measured_while_it_is_held() -> None:
    x = torch.rand(NUMBERS)
    taken = profile(lambda: {"out": (x * 2 + 1), "rest": [x.exp()]})
    assert (taken.activation_bytes, taken.saved_bytes, taken.peak_bytes) == (2 * VECTOR, 0, 2 * VECTOR)


def test_what_is_no_single_number_gets_no_backward() -> None:
    weight = nn.Parameter(torch.rand(NUMBERS))
    taken = profile(lambda: weight.exp())
    assert (taken.activation_bytes, taken.saved_bytes, taken.peak_bytes) == (VECTOR, VECTOR, VECTOR)
    assert weight.grad is None


class Old:
    """What was there before the step, in the places where tensors are."""

    def __init__(self) -> None:
        self.x, self.y = torch.rand(NUMBERS), torch.rand(NUMBERS)
        self.only_a_view_is_left = torch.rand(NUMBERS, 2)[:, 0]
        self.weight = nn.Parameter(torch.rand(NUMBERS))
        # Its gradient has no Python object before somebody asks for it.
        (self.weight * 2).sum().backward()
        self.nested = {"deep": [(torch.rand(NUMBERS),)]}
        self.sparse = torch.sparse_coo_tensor(torch.tensor([[0]]), torch.rand(1), (3,), check_invariants=True)


OF_OLD: dict[str, Callable[[Old], Any]] = {
    "views": lambda old: (old.x[2:], old.x.view(2, -1).t(), old.y.detach()),
    "a view of a view": lambda old: old.only_a_view_is_left.unsqueeze(0),
    "in place": lambda old: old.x.mul_(2).clamp_(0, 1),
    "out=": lambda old: torch.add(old.x, 1, out=old.y),
    "data of a parameter": lambda old: old.weight.data.view(2, -1),
    "a gradient": lambda old: old.weight.grad.view(2, -1),  # type: ignore[union-attr]
    "nested": lambda old: old.nested["deep"][0][0].view(2, -1),
}


@pytest.mark.parametrize("what", OF_OLD)
def test_storages_from_before_do_not_count(what: str) -> None:
    old = Old()
    taken = profile(lambda: OF_OLD[what](old))
    assert (taken.activation_bytes, taken.saved_bytes, taken.peak_bytes) == (0, 0, 0)


def test_saved_storages_from_before_do_not_count() -> None:
    old = Old()
    taken = profile(lambda: (old.x[3:] * old.weight[3:] * old.nested["deep"][0][0][3:]).exp().sum())
    # Products save their factors, which are views of what was there.
    assert [(s.op, s.shape) for s in taken.tensors] == [("exp", (NUMBERS - 3,))]
    assert taken.saved_bytes == VECTOR - 12


def test_a_gradient_that_nobody_has_looked_at_was_there_before() -> None:
    weight, x = nn.Parameter(torch.rand(NUMBERS)), torch.rand(NUMBERS)

    def step() -> None:
        (weight * (x if weight.grad is None else weight.grad)).sum().backward()

    taken = profile(step)
    assert (taken.activation_bytes, taken.saved_bytes) == (SCALAR, 0)


def test_what_other_tests_left_behind_does_not_matter() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.me, self.large = self, torch.empty(LARGE, dtype=torch.uint8)

    simple, _ = bound(returns_the_loss, "cpu")
    alone = profile(simple)
    kept = torch.empty(LARGE, dtype=torch.uint8)
    calls = []

    def step() -> Any:
        gc.collect()
        if not calls:
            Cycle()
        calls.append(1)
        return simple()

    # The call before the measured one leaves the cycle.
    assert profile(step, device="cpu", warmup=0) == alone
    del kept


@given(st.lists(st.integers(1, NUMBERS), min_size=1, max_size=4), st.booleans())
@settings(max_examples=30)
def test_of_micro_batches_the_largest_counts(sizes: list[int], zero_grad: bool) -> None:
    weight = nn.Parameter(torch.zeros(NUMBERS))
    x = torch.ones(NUMBERS)
    optimizer = SGD([weight], lr=0.1)

    def one(size: int) -> None:
        ((x[:size] * weight[:size]).exp().sum() / len(sizes)).backward()

    def step() -> None:
        for size in sizes:
            one(size)
        optimizer.step()
        if zero_grad:
            optimizer.zero_grad()

    taken = profile(step)
    assert taken.saved_bytes == 4 * max(sizes)
    # exp's result and the loss. When a later one starts, the loss before it is still held by its caller.
    assert taken.activation_bytes == max(4 * sizes[0] + SCALAR, *(4 * size for size in sizes))


def test_a_backward_that_is_differentiated_does_not_end_forward() -> None:
    weight, x = nn.Parameter(torch.rand(NUMBERS)), torch.rand(NUMBERS, requires_grad=True)

    def step() -> Tensor:
        (slope,) = torch.autograd.grad((x * weight).exp().sum(), x, create_graph=True)
        return slope.pow(2).sum()

    taken = profile(step)
    # exp's result, its gradient, the slope; the sum's gradient, and of these the loss is not saved.
    assert taken.saved_bytes == 3 * VECTOR + SCALAR
    assert taken.activation_bytes == 3 * VECTOR + 2 * SCALAR
    assert weight.grad is x.grad is None


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_keeps_inputs_only(reentrant: bool) -> None:
    layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
    x = torch.rand(4, 16, requires_grad=True)

    def step() -> Tensor:
        h = x
        for layer in layers:
            h = checkpoint(lambda h, layer=layer: layer(h).exp().exp(), h, use_reentrant=reentrant)
        return h.sum()

    taken = profile(step)
    # Inputs of the second and third; that of the first was there before.
    assert taken.saved_bytes == 2 * 4 * 16 * 4
    assert taken.activation_bytes == 2 * 4 * 16 * 4 + SCALAR


def test_gradients_are_left_as_they_were_found() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second(torch.rand(2, 4)).sum().backward()
    x = torch.rand(2, 4)
    profile(lambda: second(first(x)).sum())
    assert all(parameter.grad is None for parameter in first.parameters())
    assert all(parameter.grad is not None for parameter in second.parameters())


def test_what_a_step_raises_is_raised_and_nothing_stays_behind() -> None:
    before = torch.autograd.backward, torch.autograd.grad

    def step() -> None:
        raise ZeroDivisionError

    for warmup in (0, 1):
        with pytest.raises(ZeroDivisionError):
            profile(step, warmup=warmup)
    loss = torch.rand(3, requires_grad=True).exp().sum()
    with pytest.raises(RuntimeError, match="second time"):
        profile(lambda: loss.backward())
    assert (torch.autograd.backward, torch.autograd.grad) == before


def test_measuring_takes_no_other_way_through_pytorch() -> None:
    """Modules ask whether a function mode is on; this one's fused path is off under any."""
    seen: list[set[str]] = []

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen[-1].add(str(func))
            return func(*args, **(kwargs or {}))

    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = torch.rand(2, 5, 16)

    def step() -> Tensor:
        seen.append(set())
        with torch.no_grad(), Seen():
            out: Tensor = layer(x)
        return out

    profile(step)
    assert "aten._transformer_encoder_layer_fwd.default" in seen[0], "this PyTorch has the fused path"
    assert "aten._transformer_encoder_layer_fwd.default" in seen[-1]


@pytest.mark.parametrize(("family", "method"), [("tiny-llama", "lora-fa"), ("tiny-t5", "full-ft")])
def test_a_cells_step_is_measured_as_run_measures_it(family: str, method: str) -> None:
    cell = tiny_cell(family, method)
    result = measure_cell(cell)
    row: Any = result.row
    static = result.details["memory"]["phases"]["forward"]["start"]["allocated"]
    prepared, step = step_of(family, method)
    taken = profile(step.run, model=prepared.model)
    assert taken.activation_bytes == row["activation_bytes"]
    assert taken.peak_bytes == row["peak_allocated_bytes"] - static
    recorded = [s for s in result.details["saved"]["storages"] if not s["from_before"]]
    assert taken.saved_bytes == sum(s["nbytes"] for s in recorded)
    assert sorted(s.line for s in taken.tensors) == sorted(s["line"] for s in recorded)


def test_sparse_gradients_do_no_harm() -> None:
    embedding = nn.Embedding(10, 4, sparse=True)
    ids = torch.tensor([1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert profile(lambda: embedding(ids).exp().sum()).activation_bytes == 2 * 4 * 4 + SCALAR


WRONG: list[tuple[str, Callable[[], Profile]]] = [
    ("takes a function without arguments, .* not a Tensor", lambda: profile(torch.rand(3))),  # type: ignore[arg-type]
    ("with memory.twin", lambda: profile(lambda: None, device="meta")),
    ("with memory.twin", lambda: profile(lambda: None, model=nn.Linear(2, 2, device="meta"))),
    ("none of cpu, cuda and the twin", lambda: profile(lambda: None, device="mps")),
    ("'gpu' is none of cpu, cuda and the twin", lambda: profile(lambda: None, device="gpu")),
    ("rtx-5", lambda: profile(lambda: None, device="sim:rtx-5")),
    ("attribute=False is of a context", lambda: profile(lambda: None, attribute=False)),  # type: ignore[call-overload]
    ("warmup= is of a function", lambda: profile(warmup=3)),  # type: ignore[call-overload]
]


@pytest.mark.parametrize(("match", "call"), WRONG)
def test_what_cannot_be_measured_is_said_in_one_line(match: str, call: Callable[[], Profile]) -> None:
    with pytest.raises(UsageError, match=match) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="no CUDA GPU"):
        profile(lambda: None, device="cuda")


def test_it_can_be_printed_and_its_repr_is_short() -> None:
    taken = profile(bound(returns_the_loss, "cpu")[0])
    assert "tensors" not in repr(taken)
    assert "1 × float32[1000]" in str(taken)
    assert "1 × float32[1000]" not in str(replace(taken, tensors=()))
