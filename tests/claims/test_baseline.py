"""The baseline's file: what is written is read again, and what is no baseline is told in one line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from claimed import cell, checks, judged, only, result
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import PACKAGES, storage

from lorafa_prof.cell import Steps
from lorafa_prof.claims.baseline import (
    Baseline,
    baseline_beside,
    baseline_text,
    made_baseline,
    read_baseline,
)
from lorafa_prof.errors import UsageError
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.tensors import saved_tensors, static_tensors

LORA, LORA_FA = cell("lora", 8), cell("lora-fa", 8)
KEPT: dict[str, Any] = {"at_most": "baseline"}
RECORDS = [
    result(LORA, storages=[storage("layers.0.q", 64), storage("layers.1.q", 64)], activation_bytes=128),
    result(LORA_FA, storages=[storage("norm", 8, kind="norm", op="")], activation_bytes=8, weights_bytes=9),
]

storages = st.lists(
    st.builds(
        storage,
        st.one_of(
            st.text(max_size=9), st.sampled_from(["a | b", " | ", "[ 1,  2 ]", "[\n1,\n2\n]", "ü.é", '"'])
        ),
        st.integers(1, 2**50),
        kind=st.sampled_from(["linear_input", "other"]),
        op=st.sampled_from(["", "linear", "scaled_dot_product_attention"]),
        dtype=st.sampled_from(["bfloat16", "bool"]),
        shape=st.lists(st.integers(0, 2**20), max_size=4),
    )
)
held_otherwise = st.lists(
    st.fixed_dictionaries({"module": st.text(max_size=9), "nbytes": st.integers(1, 99)})
)


def made(*records: CellResult, claims: tuple[dict[str, Any], ...] = (KEPT,)) -> Baseline:
    by_id = {each.cell.cell_id: each for each in records}
    return made_baseline(checks(*claims, of=[each.cell for each in records]), by_id)


def reread(baseline: Baseline) -> Baseline:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "b.json"
        file.write_bytes(baseline_text(baseline).encode())
        found = read_baseline(file)
    assert found is not None
    return found


@settings(max_examples=60)
@given(
    storages,
    held_otherwise,
    st.dictionaries(st.sampled_from(["weights_bytes", "optimizer_bytes"]), st.integers(0, 99)),
)
def test_what_is_held_is_read_as_it_was_written(saved, otherwise, static):
    record = result(LORA, storages=saved, held_otherwise=otherwise, activation_bytes=5, **static)
    found = reread(made(record)).cell(LORA)
    assert found is not None
    wanted = {**static_tensors(record.row), **(saved_tensors(record.details) or {})}
    assert found.held() == wanted


@pytest.mark.parametrize("value", [0, 1, 2**60, 7.25, 1e-9])
def test_values_are_read_as_they_were_written(value):
    found = reread(made(result(LORA, activation_bytes=value)))
    assert found.value(LORA, "activation_bytes") == value
    assert found.packages == {name: PACKAGES[name] for name in ("torch", "transformers", "peft")}


def test_the_text_is_the_same_whatever_the_order_and_after_reading_it():
    text = baseline_text(made(*RECORDS))
    assert baseline_text(made(*reversed(RECORDS))) == text
    assert baseline_text(reread(made(*RECORDS))) == text
    assert text.endswith("}\n")


def test_the_text_is_sorted_and_has_a_line_for_each_tensor():
    many = [storage(f"m{name}", 4) for name in "cabd"]
    text = baseline_text(made(result(LORA, storages=many, activation_bytes=5, weights_bytes=3)))
    tensors = [line.strip() for line in text.splitlines() if ": [" in line]
    assert tensors == [
        '" | weights |  | ": [1, 3],',
        '"ma | linear_input | linear | bfloat16[2]": [1, 4],',
        '"mb | linear_input | linear | bfloat16[2]": [1, 4],',
        '"mc | linear_input | linear | bfloat16[2]": [1, 4],',
        '"md | linear_input | linear | bfloat16[2]": [1, 4]',
    ]
    assert '"activation_bytes": 5' in text
    assert text.splitlines()[-2].strip() == "}", "the packages come last"


def test_it_has_what_claims_compare_with_it_and_nothing_else():
    row = {"activation_bytes": 1, "saved_bytes": 2, "params_trainable": 3}
    of = [result(each, **row) for each in (LORA, LORA_FA)]
    claims = (
        {**KEPT, "of": {"method": "lora"}},
        {**KEPT, "of": {"method": "lora"}, "metric": "saved_bytes"},
        {"metric": "params_trainable", "at_most": 5},
    )
    (only_cell,) = made(*of, claims=claims).cells.values()
    assert only_cell.label == LORA.label
    assert only_cell.metrics == {"activation_bytes": 1, "saved_bytes": 2}


def test_what_changes_no_byte_keeps_the_cell():
    baseline = made(*RECORDS)
    same = LORA.model_copy(update={"seed": 7, "steps": Steps(warmup=5, timed=1)})
    assert baseline.value(same, "activation_bytes") == 128
    for update in ({"batch": 9}, {"dtype": "bf16"}, {"device": "sim:h200", "gpu": "h200"}):
        assert baseline.value(LORA.model_copy(update=update), "activation_bytes") is None
    assert baseline.value(LORA, "saved_bytes") is None


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([RECORDS[0]], f"{LORA_FA.label} has no activation_bytes (not measured)"),
        ([RECORDS[0], result(LORA_FA, status="oom", failed_phase="forward")], "(out of memory in forward)"),
        ([RECORDS[0], result(LORA_FA, status="error", message="it broke")], "(error: it broke)"),
        ([RECORDS[0], result(LORA_FA)], "(activation_bytes is not known on this device)"),
        ([RECORDS[0], result(LORA_FA, activation_bytes=float("nan"))], "(activation_bytes is not known"),
        ([], f"{LORA.label} has no activation_bytes (not measured)"),
    ],
)
def test_a_cell_without_a_value_makes_none(records, why):
    by_id = {each.cell.cell_id: each for each in records}
    with pytest.raises(UsageError) as caught:
        made_baseline(checks(KEPT, of=[LORA, LORA_FA]), by_id)
    assert str(caught.value).startswith("the baseline is left as it is: ")
    assert why in str(caught.value)


def test_without_a_claim_that_compares_with_it_there_is_none_to_make():
    with pytest.raises(UsageError, match="no claim compares with the baseline"):
        made(*RECORDS, claims=({"at_most": 5},))


def refused(file: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_baseline(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: this ")
    assert "\n" not in said
    return said


GOOD = json.loads(baseline_text(made(*RECORDS)))
(ONE, *_) = GOOD["cells"]


def spoilt(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "cells": {ONE: {**GOOD["cells"][ONE], **changes}}}


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("", "the file: invalid JSON"),
        ("not JSON", "the file: invalid JSON"),
        (json.dumps(GOOD)[:-5], "the file: invalid JSON"),
        ("[]", "the file: "),
        ("3", "the file: "),
        ("{}", "packages: field required"),
        ({"name": "package", "version": "1.0.0"}, "packages: field required"),
        ({**GOOD, "form": "lorafa-prof baseline 2"}, "form: input should be 'lorafa-prof baseline 1'"),
        ({**GOOD, "more": 1}, "more: extra inputs are not permitted"),
        ({**GOOD, "cells": []}, "cells: "),
        (spoilt(metrics={"activation_bytes": "much"}), f"cells.{ONE}.metrics.activation_bytes"),
        (spoilt(metrics={"activation_bytes": None}), f"cells.{ONE}.metrics.activation_bytes"),
        (spoilt(metrics={"activation_bytes": float("nan")}), f"cells.{ONE}.metrics.activation_bytes"),
        (spoilt(metrics={"activation_bytes": float("inf")}), f"cells.{ONE}.metrics.activation_bytes"),
        (spoilt(tensors={"a": [1]}), f"cells.{ONE}.tensors.a"),
        (spoilt(tensors={"a": [1, 2.5]}), f"cells.{ONE}.tensors.a"),
    ],
)
def test_what_is_no_baseline_is_told_in_one_line(tmp_path, content, where):
    file = tmp_path / "s.baseline.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    said = refused(file)
    assert f"no baseline that this version of lorafa-prof reads ({where}" in said
    assert said.endswith("; --update-baseline writes it anew")


def test_what_cannot_be_read_is_told_in_one_line(tmp_path):
    assert refused(tmp_path).endswith("this baseline cannot be read: Is a directory")
    file = tmp_path / "s.baseline.json"
    file.write_bytes(b'{"caf\xe9": 1}')
    assert refused(file).endswith("this baseline cannot be read: it is no UTF-8 text")


def test_tensors_of_another_hand_do_no_harm():
    odd = Baseline.model_validate(spoilt(tensors={"a": [1, 2], "": [1, 3], "a | b | c | d[x²x3": [1, 4]}))
    (found,) = odd.cells.values()
    assert {held.nbytes for held in found.held().values()} == {2, 3, 4}


def test_there_may_be_none(tmp_path):
    assert read_baseline(tmp_path / "s.baseline.json") is None


def test_it_stands_beside_its_scenario():
    assert baseline_beside(Path("ci/my.gate.yaml")) == Path("ci/my.gate.baseline.json")


def test_packages_that_differ_are_named_with_both_versions():
    baseline = made(result(LORA, activation_bytes=5, packages={"torch": "2.13.0", "numpy": "2.0"}))
    assert baseline.differing_packages({"torch": "2.13.0", "numpy": "3.0"}) == []
    assert baseline.differing_packages({"torch": "2.14.0", "peft": "0.21.0"}) == [
        "peft none (now 0.21.0)",
        "torch 2.13.0 (now 2.14.0)",
    ]


def test_a_cell_or_metric_that_it_does_not_have_is_not_judged():
    baseline = made(RECORDS[0])
    (finding,) = judged(KEPT, of=RECORDS, baseline=baseline)
    assert [item.state for item in finding.items] == ["pass", "unknown"]
    assert finding.items[1].note == (
        "the baseline does not have it; --update-baseline adds it; "
        "method lora → lora-fa: -120 B ('across: method' judges that)"
    )
    of = [result(LORA, saved_bytes=1)]
    assert only(judged({**KEPT, "metric": "saved_bytes"}, of=of, baseline=baseline))[1].state == "unknown"


@pytest.mark.parametrize(
    ("size", "at_most", "equals", "at_least"),
    [
        (127, "pass", "fail", "fail"),
        (128, "pass", "pass", "pass"),
        (129, "fail", "fail", "pass"),
    ],
)
def test_a_byte_more_or_less_than_it_had(size, at_most, equals, at_least):
    baseline, now = made(RECORDS[0]), [result(LORA, activation_bytes=size)]
    for bound, state in (("at_most", at_most), ("equals", equals), ("at_least", at_least)):
        _, item = only(judged({bound: "baseline"}, of=now, baseline=baseline))
        assert item.state == state
        assert "128 B" in item.expected
        assert item.note == {"pass": ""}.get(state, "1 B too much" if size > 128 else "1 B too little")


SGD = cell("lora", 8, optimizer="sgd")


def test_a_changed_setting_is_judged_where_the_claim_lets_it_differ():
    baseline = made(RECORDS[0])
    now = result(SGD, storages=[storage("layers.0.q", 64), storage("layers.1.q", 96)], activation_bytes=160)
    finding, item = only(judged({**KEPT, "across": "optimizer"}, of=[now], baseline=baseline))
    assert (finding.state, item.note) == ("fail", "32 B too much; across optimizer the default → sgd")
    assert [each.delta_bytes for each in finding.culprits] == [96, -64]
    as_before = result(SGD, activation_bytes=128)
    finding, item = only(judged({**KEPT, "across": "optimizer"}, of=[as_before], baseline=baseline))
    assert (finding.state, item.note) == ("pass", "across optimizer the default → sgd")
    # The very cell goes first, whatever the claim allows.
    finding, item = only(judged({**KEPT, "across": "optimizer"}, of=[RECORDS[0]], baseline=baseline))
    assert (finding.state, item.note) == ("pass", "")


def test_another_setting_than_the_claim_names_and_several_cells_are_not_judged():
    baseline = made(RECORDS[0])
    now = result(cell("lora", 8, optimizer="sgd", batch=5), activation_bytes=1)
    finding, item = only(judged({**KEPT, "across": "optimizer"}, of=[now], baseline=baseline))
    assert (finding.state, item.note) == (
        "unknown",
        "the baseline does not have it; --update-baseline adds it",
    )
    both = judged(
        {**KEPT, "across": ["optimizer", "method"]},
        of=[result(SGD, activation_bytes=1)],
        baseline=made(*RECORDS),
    )
    assert only(both)[0].state == "unknown"


def test_a_baseline_of_before_there_were_settings_knows_its_own_cells_alone():
    text = json.loads(baseline_text(made(RECORDS[0])))
    for known in text["cells"].values():
        del known["settings"]
    old = Baseline.model_validate(text)
    now = result(SGD, activation_bytes=1)
    assert only(judged({**KEPT, "across": "optimizer"}, of=[now], baseline=old))[0].state == "unknown"
    assert only(judged(KEPT, of=[RECORDS[0]], baseline=old))[0].state == "pass"


def test_settings_are_those_that_are_not_defaults():
    (known,) = made(RECORDS[0]).cells.values()
    assert known.settings["method"] == "lora"
    assert known.settings["seq"] == LORA.seq
    assert not known.settings.keys() & {"optimizer", "rank", "padding", "shard", "instruments"}
    sharded = made(result(cell("lora", 8, parallel="fsdp2", gpus=2), activation_bytes=1))
    assert json.loads(baseline_text(sharded)) is not None
