from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported_runs import MIB, details, storage

from lorafa_prof.report.cell_cards import MOST_TENSORS, cell_cards

SIZES = st.integers(1, 2**40)
STORAGES = st.lists(
    st.builds(
        storage,
        st.sampled_from(["", "layers.0.mlp", "layers.17.mlp", "layers.3.norm", "lm_head"]),
        SIZES,
        st.sampled_from(["norm", "adapter", "mlp_activation"]),
        from_before=st.booleans(),
    ),
    max_size=40,
)


def test_like_tensors_of_all_layers_are_one_and_the_largest_are_first() -> None:
    kept = details(
        *(storage(f"model.layers.{layer}.mlp", 2 * MIB, "mlp_activation") for layer in range(3)),
        storage("lm_head", 5 * MIB, "logits_loss"),
        storage("", 9 * MIB, from_before=True),
    )
    first, second = cell_cards(kept).tensors
    assert (first.module, first.tensors, first.nbytes) == ("model.layers.*.mlp", 3, 6 * MIB)
    assert (first.what, first.line) == (f"bf16[{MIB}]", "model.py:7")
    assert (second.kind, second.nbytes) == ("logits_loss", 5 * MIB)


def test_what_backward_needs_a_tensor_for_is_told_where_the_record_knows_it() -> None:
    kept = details(storage("layers.0.mlp", 3 * MIB), storage("layers.1.mlp", 3 * MIB), storage("head", MIB))
    need = {"module": "layers.*.mlp", "op": "Silu", "slot": "self", "gradients_of": [""]}
    key = {"module": "layers.*.mlp", "kind": "norm", "op": "mul", "dtype": "bfloat16"}
    kept["saved"]["needs"] = [{**key, "shape": [3 * MIB // 2], "needs": [need]}]
    first, second = cell_cards(kept).tensors
    assert first.why == ("input of SiLU, for the gradient of its input",)
    assert second.why == ()


@given(storages=STORAGES)
def test_what_is_left_out_is_counted(storages: list[dict[str, object]]) -> None:
    cards = cell_cards(details(*storages))
    held = [each for each in storages if not each["from_before"]]
    total = sum(each["nbytes"] for each in held)  # type: ignore[misc]
    count, nbytes = cards.tensors_left_out
    assert len(cards.tensors) <= MOST_TENSORS
    assert count + sum(each.tensors for each in cards.tensors) == len(held)
    assert nbytes + sum(each.nbytes for each in cards.tensors) == total
    assert cards.modules_left_out[1] + sum(each.nbytes for each in cards.modules) == total


def test_phases_operations_and_what_could_not_be_told() -> None:
    cards = cell_cards(details(notes=["hot"], unavailable={"energy": "no NVML"}))
    assert cards.phases["backward"] == (MIB, 10 * MIB, 2 * MIB)
    assert cards.flops["backward"] == 2 * 10**9
    assert cards.notes == ("hot", "energy: no NVML")


def test_a_record_of_a_cell_that_failed_early_explains_nothing() -> None:
    cards = cell_cards({"seconds": {}, "notes": [], "unavailable": {}})
    assert (cards.tensors, cards.modules, cards.phases) == ((), (), {})


@pytest.mark.parametrize("wrong", [{"saved": {"storages": [{}]}}, {"memory": [1]}, {"memory": {"phases": 1}}])
def test_details_of_another_form_are_an_error_that_the_caller_expects(wrong: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        cell_cards(details() | wrong)
