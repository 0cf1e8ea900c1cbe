from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import storage

from lorafa_prof.results.tensors import (
    Held,
    TensorKey,
    changes,
    largest,
    like_modules,
    saved_tensors,
    static_tensors,
)

FEW = settings(max_examples=40)
keys = st.builds(
    TensorKey, st.sampled_from(["", "a", "b.*"]), st.sampled_from(["norm", "weights"]), shape=st.just((2,))
)
tensors = st.dictionaries(keys, st.builds(Held, st.integers(1, 9), st.integers(1, 99)))
storages = st.lists(
    st.builds(
        storage,
        st.sampled_from(["layers.0.q", "layers.1.q", "layers.1.k", ""]),
        st.integers(1, 99),
        kind=st.sampled_from(["linear_input", "norm"]),
        from_before=st.booleans(),
    )
)
others = st.lists(
    st.fixed_dictionaries({"module": st.sampled_from(["layers.0", "layers.1"]), "nbytes": st.integers(1, 99)})
)


@pytest.mark.parametrize(
    ("path", "like"),
    [
        ("model.layers.11.self_attn.q_proj", "model.layers.*.self_attn.q_proj"),
        ("h.0", "h.*"),
        ("0.1", "*.*"),
        ("blocks.3.1.conv2", "blocks.*.*.conv2"),
        ("layer1.fc2", "layer1.fc2"),
        ("", ""),
    ],
)
def test_modules_that_differ_in_their_number_are_alike(path, like):
    assert like_modules(path) == like


def test_equal_tensors_of_like_modules_are_one_and_name_the_line_of_the_first():
    found = saved_tensors(
        {
            "saved": {
                "storages": [
                    storage("layers.0.q_proj", 64, line="a.py:1"),
                    storage("layers.1.q_proj", 64, line="a.py:2"),
                    storage("layers.1.q_proj", 64, dtype="float32"),
                    storage("layers.1.q_proj", 64, op="mul"),
                    storage("layers.1.q_proj", 64, kind="adapter"),
                    storage("layers.1.q_proj", 32),
                    storage("embed", 999, from_before=True),
                ],
                "held_otherwise": [{"module": "", "nbytes": 4}, {"module": "layers.0", "nbytes": 8}],
            }
        }
    )
    assert found is not None
    alike = TensorKey("layers.*.q_proj", "linear_input", "linear", "bfloat16", (32,))
    assert found.pop(alike) == Held(2, 128, "a.py:1")
    assert sorted(found) == [
        TensorKey("", "held_otherwise"),
        TensorKey("layers.*", "held_otherwise"),
        TensorKey("layers.*.q_proj", "adapter", "linear", "bfloat16", (32,)),
        TensorKey("layers.*.q_proj", "linear_input", "linear", "bfloat16", (16,)),
        TensorKey("layers.*.q_proj", "linear_input", "linear", "float32", (32,)),
        TensorKey("layers.*.q_proj", "linear_input", "mul", "bfloat16", (32,)),
    ]
    assert {held.count for held in found.values()} == {1}


@FEW
@given(storages, others)
def test_no_byte_of_this_step_is_lost_or_counted_twice(saved, held_otherwise):
    found = saved_tensors({"saved": {"storages": saved, "held_otherwise": held_otherwise}})
    assert found is not None
    here = [each for each in saved if not each["from_before"]] + held_otherwise
    assert sum(held.nbytes for held in found.values()) == sum(each["nbytes"] for each in here)
    assert sum(held.count for held in found.values()) == len(here)


def test_what_was_not_recorded_is_unknown_and_not_nothing():
    assert saved_tensors({}) is None
    assert saved_tensors({"saved": {"storages": [], "held_otherwise": []}}) == {}


def test_static_bytes_are_those_that_the_row_has():
    row = {"weights_bytes": 10, "gradients_bytes": 0, "activation_bytes": 5}
    assert static_tensors(row) == {TensorKey("", "weights"): Held(1, 10)}


@FEW
@given(tensors, tensors)
def test_changes_add_up_and_the_largest_growth_is_first(before, after):
    found = changes(before, after)
    growth = [change.delta_bytes for change in found]
    held_before, held_after = (sum(held.nbytes for held in each.values()) for each in (before, after))
    assert sum(growth) == held_after - held_before
    assert growth == sorted(growth, reverse=True)
    assert 0 not in growth
    assert {change.key for change in found} == {
        key
        for key in {**before, **after}
        if getattr(before.get(key), "nbytes", 0) != getattr(after.get(key), "nbytes", 0)
    }
    assert sorted(-delta for delta in growth) == sorted(each.delta_bytes for each in changes(after, before))


@FEW
@given(tensors)
def test_the_largest_are_all_of_them_as_a_change_from_nothing(held):
    found = largest(held)
    assert {change.key: change.after for change in found} == held
    assert {change.before for change in found} <= {Held(0, 0)}


def test_a_tensor_is_told_by_where_what_and_how_large():
    assert str(TensorKey("layers.*.q", "linear_input", "linear", "bfloat16", (8, 4096))) == (
        "layers.*.q: linear_input bfloat16[8×4096]"
    )
    assert str(TensorKey("", "logits_loss", "cross_entropy", "float32")) == "(no module): logits_loss float32"
    assert str(TensorKey("", "weights")) == "weights"
