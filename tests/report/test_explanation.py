from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported_runs import METRICS, MIB, details, storage

from lorafa_prof.instruments.saved.kinds import KINDS
from lorafa_prof.report.charts import PARTS
from lorafa_prof.report.explanation import MOST_TENSORS, explain, parts_of

OK = {"status": "ok", **METRICS}
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


def test_what_is_peak_and_none_of_the_parts_is_said() -> None:
    parts, beyond = parts_of(OK, {"norm": 2 * MIB})
    assert parts == {
        "weights_bytes": 4 * MIB,
        "gradients_bytes": MIB,
        "optimizer_bytes": 2 * MIB,
        "saved_norm": 2 * MIB,
        "unsaved": MIB,
        "other": 2 * MIB,
    }
    assert beyond == 0


def test_parts_that_are_more_than_the_peak_are_not_called_the_peak() -> None:
    parts, beyond = parts_of(OK | {"peak_allocated_bytes": 7 * MIB}, {"norm": 3 * MIB})
    assert beyond == 3 * MIB
    assert "other" not in parts


def test_without_saved_tensors_what_forward_holds_is_one_part() -> None:
    assert parts_of(OK, {})[0]["activation_bytes"] == 3 * MIB


def test_a_cell_that_did_not_finish_has_no_parts() -> None:
    assert parts_of(OK | {"status": "oom"}, {"norm": MIB}) == ({}, 0)


@given(sizes=st.dictionaries(st.sampled_from([*METRICS]), SIZES), saved=st.dictionaries(st.text(), SIZES))
def test_parts_are_the_peak_or_more(sizes: dict[str, int], saved: dict[str, int]) -> None:
    parts, beyond = parts_of({"status": "ok", **sizes}, saved)
    if (peak := sizes.get("peak_allocated_bytes")) is not None:
        assert sum(parts.values()) - beyond == peak
    assert min(parts.values(), default=1) > 0


def test_like_tensors_of_all_layers_are_one_and_the_largest_are_first() -> None:
    kept = details(
        *(storage(f"model.layers.{layer}.mlp", 2 * MIB, "mlp_activation") for layer in range(3)),
        storage("lm_head", 5 * MIB, "logits_loss"),
        storage("", 9 * MIB, from_before=True),
    )
    first, second = explain(OK, kept).tensors
    assert (first.module, first.count, first.nbytes) == ("model.layers.*.mlp", 3, 6 * MIB)
    assert (first.what, first.line) == (f"bf16[{MIB}]", "model.py:7")
    assert (second.kind, second.nbytes) == ("logits_loss", 5 * MIB)


def test_what_backward_needs_a_tensor_for_is_told_where_the_record_knows_it() -> None:
    kept = details(storage("layers.0.mlp", 3 * MIB), storage("layers.1.mlp", 3 * MIB), storage("head", MIB))
    need = {"module": "layers.*.mlp", "op": "Silu", "slot": "self", "gradients_of": [""]}
    key = {"module": "layers.*.mlp", "kind": "norm", "op": "mul", "dtype": "bfloat16"}
    kept["saved"]["needs"] = [{**key, "shape": [3 * MIB // 2], "needs": [need]}]
    first, second = explain(OK, kept).tensors
    assert first.why == ("input of SiLU, for the gradient of its input",)
    assert second.why == ()


@given(storages=STORAGES)
def test_what_is_left_out_is_counted(storages: list[dict[str, object]]) -> None:
    explained = explain(OK, details(*storages))
    held = [each for each in storages if not each["from_before"]]
    total = sum(each["nbytes"] for each in held)  # type: ignore[misc]
    count, nbytes = explained.tensors_left_out
    assert len(explained.tensors) <= MOST_TENSORS
    assert count + sum(each.count for each in explained.tensors) == len(held)
    assert nbytes + sum(each.nbytes for each in explained.tensors) == total
    assert explained.modules_left_out[1] + sum(each.nbytes for each in explained.modules) == total


def test_a_kind_that_no_chart_has_a_colour_for_is_another() -> None:
    kept = details(storage("a", MIB, "quantum"), storage("b", MIB, "other"))
    assert explain(OK, kept).parts["saved_other"] == 2 * MIB
    assert {f"saved_{kind}" for kind in KINDS} < PARTS.keys()


def test_phases_operations_and_what_could_not_be_told() -> None:
    explained = explain(OK, details(notes=["hot"], unavailable={"energy": "no NVML"}))
    assert explained.phases["backward"] == (MIB, 10 * MIB, 2 * MIB)
    assert explained.flops["backward"] == 2 * 10**9
    assert explained.notes == ("hot", "energy: no NVML")


def test_a_record_of_a_cell_that_failed_early_explains_nothing() -> None:
    explained = explain({"status": "oom"}, {"seconds": {}, "notes": [], "unavailable": {}})
    assert (explained.tensors, explained.modules, explained.phases, explained.parts) == ((), (), {}, {})


@pytest.mark.parametrize("wrong", [{"saved": {"storages": [{}]}}, {"memory": [1]}, {"memory": {"phases": 1}}])
def test_details_of_another_form_are_an_error_that_the_caller_expects(wrong: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        explain(OK, details() | wrong)
