"""What autograd holds at the end of forward, each storage once, and nothing changed by looking."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cells import (
    FAMILIES,
    METHOD_NAMES,
    AtForwardsEnd,
    memory_of,
    observe,
    recorder_of,
    saved_of,
    step_of,
    tiny_cell,
)
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lorafa_prof.instruments.memory.storages import storage_key
from lorafa_prof.instruments.saved.recorder import SavedTensors, SavedTensorsRecorder
from lorafa_prof.layers.low_rank_linear import LoraFaLinear, LoraLinear
from lorafa_prof.parts import SAVED_KINDS
from lorafa_prof.results.reconcile import reconcile

ROWS = 3


def record(module: nn.Module, x: Tensor, *, device_type: str = "cpu") -> SavedTensors:
    with SavedTensorsRecorder(module, device_type=device_type, before=[x], ranks=[2]) as recorder:
        out = module(x)
        result = recorder.result()
    del out
    return result


class Computes(nn.Module):
    """A weight [8], a buffer [8], and whatever is to be computed with them."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(8))
        self.register_buffer("scale", torch.rand(8))
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def low_rank(kind: Any, dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 8),
        kind(nn.Linear(8, 6), rank=2, scale=1.0, dropout=dropout, adapter_dtype=torch.float32),
    )


#: x is [3, 8] in fp32, 96 bytes that were there before.
HAND_COMPUTED = {
    "linear: its input": (lambda: nn.Linear(8, 5), 96),
    "frozen linear: nothing": (lambda: nn.Linear(8, 5).requires_grad_(False), 0),
    "linears and ReLU: inputs, the ReLU's result being the second's": (
        lambda: nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 4)),
        96 + ROWS * 5 * 4,
    ),
    "two readers of one input": (lambda: Computes(lambda m, x: (x * m.weight, x.exp() * m.weight)), 96 + 96),
    "LayerNorm: input, mean, 1/std": (lambda: nn.LayerNorm(8), 96 + 2 * ROWS * 4),
    "dropout: the mask it multiplies by": (lambda: nn.Sequential(nn.Linear(8, 5), nn.Dropout()), 96 + 60),
    "LoRA: x and x Aᵀ": (lambda: low_rank(LoraLinear), 96 + 96 + ROWS * 2 * 4),
    "LoRA with dropout: a mask of a byte each": (lambda: low_rank(LoraLinear, 0.5), 96 + 96 + 24 + 24),
    "LoRA-FA: x Aᵀ": (lambda: low_rank(LoraFaLinear), 96 + ROWS * 2 * 4),
    "LoRA-FA with dropout": (lambda: low_rank(LoraFaLinear, 0.5), 96 + 24 + 24),
    "parameters and buffers: nothing": (lambda: Computes(lambda m, x: m.weight * m.scale), 0),
    "views of parameters: nothing": (
        lambda: Computes(lambda m, x: m.weight[:4] * m.weight.view(2, 4)[1] * m.scale[4:]),
        0,
    ),
    "a view keeps its whole storage": (lambda: Computes(lambda m, x: (x + 1)[0] * m.weight), 96),
    "let go within forward: nothing": (
        lambda: Computes(lambda m, x: [(x * 2 * m.weight).exp().sum(), m.weight.sum()][1]),
        0,
    ),
    "no gradient: nothing": (lambda: Computes(lambda m, x: (x * m.weight).detach().exp()), 96),
}


@pytest.mark.parametrize("what", HAND_COMPUTED)
def test_total_equals_a_computation_by_hand(what: str) -> None:
    build, expected = HAND_COMPUTED[what]
    saved = record(build(), torch.rand(ROWS, 8))
    assert saved.total_bytes == expected
    assert sum(saved.by_kind.values()) == sum(saved.by_module.values()) == expected


def test_tied_parameters_are_excluded() -> None:
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    assert record(model, torch.rand(ROWS, 8)).total_bytes == 96 + 96


def test_storages_from_before_the_step_are_marked() -> None:
    saved = record(nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 4)), torch.rand(ROWS, 8))
    assert {s.nbytes: s.from_before for s in saved.storages} == {96: True, 60: False}
    assert saved.from_before_bytes == 96


def test_what_takes_the_place_of_a_storage_from_before_is_not_from_before() -> None:
    old = torch.rand(ROWS, 8)
    key = storage_key(old)
    weight = nn.Parameter(torch.rand(8))
    with SavedTensorsRecorder(None, device_type="cpu", before=[old, weight]) as recorder:
        del old
        others = [torch.rand(ROWS, 8) for _ in range(1000)]
        (again,) = [other for other in others if storage_key(other) == key]
        out = again * weight
        saved = recorder.result()
    del out
    assert [storage.from_before for storage in saved.storages if storage.nbytes == 96] == [False]


def test_without_a_model_paths_are_those_in_the_module_that_is_called() -> None:
    first, second = nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Sequential(nn.Linear(8, 4), nn.Sigmoid())
    parameters = (*first.parameters(), *second.parameters())
    with SavedTensorsRecorder(None, device_type="cpu", before=parameters) as recorder:
        out = second(first(torch.rand(ROWS, 8)).exp() * 2)
        saved = recorder.result()
    del out
    found = [(s.module, s.op) for s in saved.storages if not s.from_before]
    assert found == [("0", "linear"), ("1", "tanh"), ("", "exp"), ("0", "linear"), ("1", "sigmoid")]


def test_kinds_are_by_the_rule_that_is_given() -> None:
    def all_other(point: Any, shape: Any, dtype: Any, ranks: Any) -> Any:
        return "other"

    recorder = SavedTensorsRecorder(nn.Linear(8, 5), device_type="cpu", before=[], rule=all_other)
    with recorder:
        out = nn.Linear(8, 5)(torch.rand(ROWS, 8))
        assert {storage.kind for storage in recorder.result().storages} == {"other"}
    del out


def test_without_looking_for_what_is_held_otherwise_there_is_no_dispatch_mode() -> None:
    with SavedTensorsRecorder(nn.Linear(8, 5), device_type="cpu", before=[], otherwise=False) as recorder:
        assert _get_current_dispatch_mode() is None
        kept = torch.rand(ROWS, requires_grad=True).exp()
        saved = recorder.result()
    assert saved.total_bytes == 4 * ROWS
    assert saved.held_otherwise == ()
    del kept


def test_sparse_tensors_are_passed_over() -> None:
    indices = torch.tensor([[0, 1], [1, 0]])
    sparse = torch.sparse_coo_tensor(indices, torch.rand(2), (2, 8), check_invariants=True)
    weight = nn.Parameter(torch.rand(8, 4))
    with SavedTensorsRecorder(None, device_type="cpu", before=[weight], otherwise=False) as recorder:
        out = torch.sparse.mm(sparse, weight)
        recorder.result()
    out.sum().backward()
    assert weight.grad is not None


def test_other_types_of_device_are_not_counted() -> None:
    assert record(nn.Linear(8, 5), torch.rand(ROWS, 8), device_type="meta").total_bytes == 0


def test_each_storage_tells_where_it_was_saved_first_and_how_often() -> None:
    model = nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 4))
    x = torch.rand(ROWS, 8, dtype=torch.float32)
    first, second = record(model, x).storages
    assert (first.module, first.op, first.shape, first.dtype, first.savers) == (
        "0",
        "linear",
        (3, 8),
        "float32",
        1,
    )
    assert second.module == "1"
    (twice,) = record(Computes(lambda m, x: (x * m.weight, x * m.weight)), x).storages
    assert twice.savers == 2


def test_a_storage_held_by_something_else_is_told_apart() -> None:
    kept = []
    model = nn.Sequential(nn.Linear(8, 5), Computes(lambda m, x: kept.append(x + 1) or x.exp()))
    with SavedTensorsRecorder(model, device_type="cpu", before=[], ranks=[]) as recorder:
        loss = model(torch.rand(ROWS, 8)).sum()
        saved = recorder.result()
    del loss
    # x was not there before: it is saved. Kept: x + 1; and the loss, outside of all modules.
    assert saved.total_bytes == 96 + 60
    assert [(held.module, held.nbytes) for held in saved.held_otherwise] == [("1", 60), ("", 4)]
    assert saved.held_otherwise_bytes == 64


def test_records_are_largest_first_and_plain() -> None:
    records = record(
        nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2)), torch.rand(ROWS, 8)
    ).as_records()
    assert [r["nbytes"] for r in records] == [96, 60]
    assert set(records[0]) == {
        "module", "op", "kind", "shape", "dtype", "nbytes", "savers", "from_before", "line", "user_line",
    }  # fmt: skip


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_activation_reconciles_to_the_byte(family: str, method: str, dtype: str, checkpointing: str) -> None:
    memory, saved = observe(tiny_cell(family, method, dtype=dtype, checkpointing=checkpointing))
    found = reconcile(memory, saved)
    assert found.residual_bytes == found.slack_bytes == 0
    assert sum(saved.by_kind.values()) == saved.total_bytes
    if checkpointing == "none":
        loss_bytes = saved.held_otherwise_bytes
        assert loss_bytes in (2, 4)


@given(
    st.sampled_from(FAMILIES),
    st.sampled_from(METHOD_NAMES),
    st.sampled_from(["fp32", "bf16", "fp64"]),
    st.sampled_from(["sdpa", "eager"]),
    st.sampled_from(["none", "full"]),
    st.sampled_from([0.0, 0.1]),
    st.integers(1, 3),
    st.integers(3, 40),
)
@settings(max_examples=25)
def test_kinds_sum_to_the_total_and_bytes_reconcile_whatever_the_cell(
    family: str,
    method: str,
    dtype: str,
    attention: str,
    checkpointing: str,
    dropout: float,
    batch: int,
    seq: int,
) -> None:
    cell = tiny_cell(
        family,
        method,
        dtype=dtype,
        attention=attention,
        checkpointing=checkpointing,
        dropout=dropout,
        batch=batch,
        seq=seq,
    )
    memory, saved = observe(cell)
    assert list(saved.by_kind) == list(SAVED_KINDS)
    assert sum(saved.by_kind.values()) == sum(saved.by_module.values()) == saved.total_bytes
    assert reconcile(memory, saved).residual_bytes == 0


def test_saved_input_ids_were_there_before() -> None:
    _, saved = observe(tiny_cell(method="full-ft"))
    embedding = [s for s in saved.storages if s.op == "embedding"]
    assert [(s.from_before, s.nbytes) for s in embedding] == [(True, 2 * 48 * 8)]


@pytest.mark.parametrize("checkpointing", ["none", "full"])
@pytest.mark.parametrize(
    ("family", "method"), [("tiny-llama", "lora-fa"), ("tiny-gpt2", "lora"), ("tiny-t5", "peft-lora")]
)
def test_recording_changes_nothing(family: str, method: str, checkpointing: str) -> None:
    prepared, step = step_of(family, method, dtype="bf16", checkpointing=checkpointing, dropout=0.1)
    model = prepared.model

    def loss_and_gradients(recorder: Any) -> list[Tensor]:
        torch.manual_seed(1)
        if recorder:
            with recorder:
                loss = model(**step.inputs).loss
        else:
            loss = model(**step.inputs).loss
        loss.backward()
        found = [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]
        model.zero_grad(set_to_none=True)
        return found

    bare, seen = loss_and_gradients(None), loss_and_gradients(recorder_of(prepared, step))
    assert len(bare) == len(seen) > 1
    assert all(torch.equal(one, other) for one, other in zip(bare, seen, strict=True))
    step.run()  # makes the optimizer's state
    observer = AtForwardsEnd(recorder_of(prepared, step))
    assert memory_of(prepared, step).phases == memory_of(prepared, step, observer).phases


def test_nothing_stays_behind() -> None:
    prepared, step = step_of("tiny-llama", "full-ft")
    recorder = recorder_of(prepared, step)
    gc.collect()
    gc.disable()
    try:
        with recorder:
            loss = prepared.model(**step.inputs).loss
        assert not all(storage.from_before for storage in recorder.result().storages)
        loss.backward()
        del loss
        left = recorder.result()
        assert left.storages  # the batch
        assert all(storage.from_before for storage in left.storages)
        assert left.held_otherwise == ()
    finally:
        gc.enable()


def test_hooks_and_modes_are_gone_afterwards() -> None:
    prepared, step = step_of("tiny-llama", "lora")
    saved_of(prepared, step)
    assert _get_current_dispatch_mode() is None
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        torch.rand(3, requires_grad=True).exp()
    assert len(packed) == 1
