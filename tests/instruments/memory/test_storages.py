"""The follower's bytes are those of the storages that live, each counted once."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import AdamW

from lorafa_prof.instruments.memory.storages import (
    StorageFollower,
    model_tensors,
    optimizer_tensors,
    storage_bytes,
    storage_key,
)


@pytest.fixture
def follower() -> StorageFollower:
    return StorageFollower("cpu")


def test_births_deaths_and_peak(follower: StorageFollower) -> None:
    with follower:
        a = torch.empty(100)
        b = torch.empty(50, dtype=torch.float64)
        assert follower.live_bytes == 400 + 400
        c = a + 1
        assert follower.live_bytes == 1200
        del a, c
        assert follower.live_bytes == 400
        assert follower.peak_bytes == 1200
        follower.reset_peak()
        assert follower.peak_bytes == 400
        d = torch.empty(3, dtype=torch.bool)
    del b
    assert follower.live_bytes == 3  # deaths are seen outside too
    assert follower.peak_bytes == 403
    del d
    assert follower.live_bytes == 0


def test_temporaries_within_an_expression_count_in_the_peak(follower: StorageFollower) -> None:
    x = torch.ones(10)
    follower.adopt([x])
    with follower:
        y = ((x + 1) * 2).exp()
    assert (follower.live_bytes, follower.peak_bytes) == (80, 120)
    del y


def test_views_share_their_storage_and_keep_it(follower: StorageFollower) -> None:
    with follower:
        base = torch.empty(8, 8)
        views = [base.view(64), base.t(), base[2:, 1], base.detach(), *base.split(2), *base.unbind(0)]
        assert follower.live_bytes == 256
        del base
        assert follower.live_bytes == 256
        views.clear()
        assert follower.live_bytes == 0


def test_in_place_and_out_operations_are_no_births(follower: StorageFollower) -> None:
    with follower:
        x, y = torch.empty(10), torch.empty(10)
        x.add_(1).mul_(2).zero_()
        torch.add(x, 1, out=y)
        torch._foreach_add_([x, y], 1.0)
    assert follower.live_bytes == follower.peak_bytes == 80


def test_each_result_of_one_operation_counts_once(follower: StorageFollower) -> None:
    with follower:
        x = torch.arange(10.0)
        values, indices = x.sort()
        assert follower.live_bytes == 40 + 40 + 80
        several = torch._foreach_mul([x, values], 2.0)
        assert follower.live_bytes == 160 + 80
        del values, indices, several
    assert follower.live_bytes == 40


def test_a_storage_that_grows_is_counted_at_its_new_size(follower: StorageFollower) -> None:
    with follower:
        result = torch.empty(0)
        torch.add(torch.ones(10), 1, out=result)
        assert follower.live_bytes == 40
        result.resize_(20)
        assert (follower.live_bytes, follower.peak_bytes) == (80, 80)
        del result
    assert follower.live_bytes == 0


def test_adopted_storages_count_once_and_die_as_others() -> None:
    born: list[int] = []
    follower = StorageFollower("cpu", on_birth=lambda storage, nbytes: born.append(nbytes))
    x = torch.empty(10)
    follower.adopt([x, x.view(5, 2), x])
    assert (follower.live_bytes, born) == (40, [])
    with follower:
        x.add_(1)
        y = x + 1
    assert (follower.live_bytes, born) == (80, [40])
    del x, y
    assert follower.live_bytes == 0


def test_other_types_of_device_are_ignored() -> None:
    on_meta = StorageFollower("meta")
    on_meta.adopt([torch.empty(10)])
    with on_meta:
        cpu = torch.ones(10)
        meta = torch.empty(5, device="meta")
        moved = cpu.to("meta")
    assert on_meta.live_bytes == 20 + 40
    del meta, moved


def test_backward_is_seen(follower: StorageFollower) -> None:
    weight = torch.ones(10, requires_grad=True)
    with follower:
        loss = (weight * 2).exp().sum()
        assert follower.live_bytes == 40 + 4  # exp's result; the loss
        loss.backward()
    assert weight.grad is not None
    assert follower.live_bytes == 40 + 4  # the gradient; the loss


def test_it_keeps_nothing_alive(follower: StorageFollower) -> None:
    gc.disable()
    try:
        with follower:
            tensor = torch.empty(10)
            storage = weakref.ref(tensor.untyped_storage())
            view = weakref.ref(tensor)
        del tensor
        assert storage() is None
        assert view() is None
    finally:
        gc.enable()


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["new", "view", "in_place", "of", "out", "drop"]),
        st.integers(0, 50),
        st.integers(0, 50),
    ),
    max_size=40,
)


@given(OPERATIONS)
@settings(max_examples=100)
def test_random_programs_equal_a_model(operations: list[tuple[str, int, int]]) -> None:
    follower = StorageFollower("cpu")
    held: list[tuple[int, Tensor]] = []  # storage's number in the model, tensor
    sizes: dict[int, int] = {}
    peak = 0
    with follower:
        for number, (what, pick, size) in enumerate(operations):
            if what == "new" or not held:
                held.append((number, torch.empty(size)))
                sizes[number] = 4 * size
            else:
                storage, tensor = held[pick % len(held)]
                if what == "view":
                    held.append((storage, tensor[: size % (len(tensor) + 1)]))
                elif what == "in_place":
                    tensor.zero_()
                elif what == "of":
                    held.append((number, tensor + 1))
                    sizes[number] = 4 * len(tensor)
                elif what == "out":
                    torch.zeros(len(tensor), out=tensor)
                else:
                    del held[pick % len(held)]
                del tensor
            living = {storage for storage, _ in held}
            expected = sum(sizes[storage] for storage in living)
            peak = max(peak, expected)
            assert follower.live_bytes == expected
            assert follower.peak_bytes == peak
    held.clear()
    assert follower.live_bytes == 0


def test_storage_bytes_counts_a_shared_storage_once_and_whole() -> None:
    x = torch.empty(10)
    assert storage_bytes([x, x[:2], x.view(2, 5), torch.empty(3)]) == 40 + 12
    assert storage_key(x) == storage_key(x[3:])
    assert storage_bytes([x[:2]]) == 40


def test_tensors_of_a_model_and_of_its_optimizer() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[1].weight = model[0].bias  # tied
    assert storage_bytes(model_tensors(model)) == 4 * (16 + 4 + 4) + 4 * (4 + 4) + 8
    optimizer = AdamW(model.parameters(), fused=True)
    assert storage_bytes(optimizer_tensors(optimizer, "cpu")) == 0
    model(torch.rand(3, 4)).sum().backward()
    optimizer.step()
    # Two moments each, and a step count for each of the three distinct parameters.
    assert storage_bytes(optimizer_tensors(optimizer, "cpu")) == 2 * 4 * (16 + 4 + 4) + 3 * 4
    assert storage_bytes(optimizer_tensors(optimizer, "meta")) == 0
