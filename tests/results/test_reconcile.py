"""Activation = saved + held otherwise + slack + residual."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.instruments.memory.profile import Counters, MemoryProfile, PhaseMemory
from lorafa_prof.instruments.saved.recorder import HeldStorage, SavedStorage, SavedTensors
from lorafa_prof.results.reconcile import Reconciliation, reconcile


def saved(nbytes: int, *, from_before: bool = False) -> SavedStorage:
    return SavedStorage("m", "linear", "linear_input", (nbytes,), "uint8", nbytes, 1, from_before)


def tensors(sizes: list[int], others: list[int], before: list[int]) -> SavedTensors:
    storages = [*map(saved, sizes), *(saved(nbytes, from_before=True) for nbytes in before)]
    return SavedTensors(tuple(storages), tuple(HeldStorage("m", nbytes) for nbytes in others))


def memory(*, allocated: int, requested: int) -> MemoryProfile:
    """A step that starts with 5,000 bytes requested in 6,000 allocated, and adds these in forward."""
    start = Counters(allocated=6000, requested=5000)
    end = Counters(allocated=6000 + allocated, requested=5000 + requested)
    return MemoryProfile({"forward": PhaseMemory(start, end, end)}, 0, None, None)


def test_slack_is_what_the_allocator_says_and_the_rest_is_residual() -> None:
    held = tensors(sizes=[1, 512, 513], others=[4], before=[700])
    assert reconcile(memory(allocated=2560, requested=1037), held) == Reconciliation(
        activation_bytes=2560,
        saved_bytes=1026,
        held_otherwise_bytes=4,
        slack_bytes=2560 - 1037,
        residual_bytes=7,
    )


def test_state_that_forward_replaces_is_held_and_adds_nothing() -> None:
    held = SavedTensors((saved(100),), (HeldStorage("m", 4), HeldStorage("m", 32)), replaced_bytes=32)
    found = reconcile(memory(allocated=104, requested=104), held)
    assert (found.residual_bytes, found.replaced_bytes) == (0, 32)


SIZES = st.lists(st.integers(0, 10**9), max_size=5)


@given(st.integers(0, 10**12), st.integers(0, 10**12), SIZES, SIZES, SIZES)
def test_the_parts_always_sum_to_the_activation(
    allocated: int, requested: int, sizes: list[int], others: list[int], before: list[int]
) -> None:
    found = reconcile(memory(allocated=allocated, requested=requested), tensors(sizes, others, before))
    parts = found.saved_bytes + found.held_otherwise_bytes + found.slack_bytes + found.residual_bytes
    assert parts == found.activation_bytes == allocated
    assert found.residual_bytes == requested - sum(sizes) - sum(others)
