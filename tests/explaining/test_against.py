"""What two cells differ in sums to the difference of their totals."""

from __future__ import annotations

import itertools

import pytest
from explained import predicted
from hypothesis import given
from hypothesis import strategies as st
from tiny_cells import METHOD_NAMES

from lorafa_prof.explaining.against import part_bytes, tensor_differences
from lorafa_prof.explaining.composition import OF_FORWARD, Composition, Piece, together
from lorafa_prof.parts import PART_KEYS
from lorafa_prof.results.tensors import TensorKey

KEYS = [TensorKey(module, kind) for module in ("a", "b") for kind in ("", "norm")]

pieces = st.builds(
    Piece, st.sampled_from(PART_KEYS), st.sampled_from(KEYS), st.integers(1, 9), st.integers(1, 10**12)
)
compositions = st.builds(
    Composition,
    st.integers(0, 10**13),
    st.lists(pieces, max_size=12).map(together),
    st.integers(0, 10**6),
)


@given(compositions, compositions)
def test_differences_sum_to_the_difference(one: Composition, other: Composition) -> None:
    tensors = sum(each.delta_bytes for each in tensor_differences(one, other))
    rounding = one.rounding_bytes - other.rounding_bytes
    unexplained = one.unexplained_bytes - other.unexplained_bytes
    assert tensors + rounding + unexplained == one.total_bytes - other.total_bytes
    rows = part_bytes(one, other)
    assert sum(row.one for row in rows) == one.total_bytes
    assert sum(row.other for row in rows) == other.total_bytes


@given(compositions, compositions)
def test_the_other_way_round_it_is_the_opposite(one: Composition, other: Composition) -> None:
    def by_key(a: Composition, b: Composition) -> dict[object, int]:
        return {(each.piece.part, each.piece.key): each.delta_bytes for each in tensor_differences(a, b)}

    assert by_key(one, other) == {key: -delta for key, delta in by_key(other, one).items()}
    assert tensor_differences(one, one) == []


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(METHOD_NAMES, 2)))
def test_methods_against_each_other(one: str, other: str) -> None:
    a, b = predicted(one), predicted(other)
    peak = tensor_differences(a.peak, b.peak)
    rounding = a.peak.rounding_bytes - b.peak.rounding_bytes
    assert sum(each.delta_bytes for each in peak) + rounding == a.peak.total_bytes - b.peak.total_bytes
    kept = tensor_differences(a.activation, b.activation)
    rounding = a.activation.rounding_bytes - b.activation.rounding_bytes
    delta = a.activation.total_bytes - b.activation.total_bytes
    assert sum(each.delta_bytes for each in kept) + rounding == delta
    assert {each.piece.part for each in tensor_differences(a.peak, b.peak, OF_FORWARD)} <= set(OF_FORWARD)


def test_lora_fa_lacks_the_inputs_of_linears_and_nothing_else() -> None:
    """Of a layer in bf16, bytes a token: 2h of each norm's output and 2i of the MLP's product."""
    found = tensor_differences(predicted("lora-fa").activation, predicted("lora").activation)
    assert {each.piece.key.kind for each in found} == {"linear_input"}
    assert all(each.one is None for each in found)
    h, i, tokens, layers = 64, 176, 2 * 48, 2
    assert sum(each.delta_bytes for each in found) == -layers * tokens * (2 * h + 2 * h + 2 * i)


def test_ours_and_peft_s_differ_in_what_they_hold_and_not_in_names() -> None:
    same = (("adapter_dtype", "bf16"),)
    a, b = (predicted(method, settings=same).activation for method in ("peft-lora-fa", "lora-fa"))
    assert a.total_bytes == b.total_bytes
    assert tensor_differences(a, b) == []
    weights = tensor_differences(predicted("full-ft").peak, predicted("lora").peak, ["weights"])
    assert all("lora_" in each.piece.key.op or "lora_" in each.piece.key.module for each in weights)
