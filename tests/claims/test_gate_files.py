"""What a gate reads and writes: the baseline, and the folder of a run."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import pytest
import torch
from claimed import result, scenario
from gates import CLOCK, HEAD, KEPT, OF, PAYS, SMALL, WELL, gate, judgement, records, replaced, saved
from stored import PACKAGES

from lorafa_prof.cell import Cell
from lorafa_prof.claims.baseline import made_baseline, read_baseline
from lorafa_prof.claims.gate import Gate, gate_of, judged, kept_baseline, stored_gate, update_baseline
from lorafa_prof.errors import NothingToJudgeError, ScenarioError, UsageError
from lorafa_prof.results.provenance_file import write_provenance
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import Store


def test_a_baseline_of_other_versions_is_judged_and_told(store):
    of = gate(KEPT)
    then = {
        cell_id: each.model_copy(update={"environment": {"packages": {**PACKAGES, "torch": "2.12.0"}}})
        for cell_id, each in WELL.items()
    }
    found = judgement(of, WELL, store, baseline=made_baseline(of.checks, then))
    assert found.exit_code == 0
    told = "the baseline was made with torch 2.12.0 (now 2.13.0)"
    assert found.notes == (f"{told}; all 2 numbers are the same",)
    assert judgement(of, WELL, store, baseline=made_baseline(of.checks, WELL)).notes == ()
    others = judgement(
        of, replaced(WELL, 1, activation_bytes=7), store, baseline=made_baseline(of.checks, then)
    )
    assert others.notes == (f"{told}: that may be why 1 of 2 numbers are others",)
    unrun = judgement(of, {}, store, baseline=made_baseline(of.checks, then))
    assert unrun.notes == ()


@pytest.mark.parametrize(
    ("device", "limit", "told"), [("cpu", 9, 1), ("cpu", 11, 0), ("sim:h100-80gb", 9, 0)]
)
def test_a_claim_that_fails_on_a_measurement_of_other_versions_names_them(
    store, device: str, limit: int, told: int
):
    head = HEAD.replace("gpu: h100-80gb", f"device: {device}")
    of = gate_of(scenario({**SMALL, "at_most": limit}, head=head), None)
    packages = {"torch": "2.6.0+cu124", "transformers": "4.48.0", "peft": None}
    measured = {
        plan.cell.cell_id: result(plan.cell, activation_bytes=10, packages=packages) for plan in of.planned
    }
    torch_here, transformers_here = (
        metadata.version(name).split("+")[0] for name in ("torch", "transformers")
    )
    line = (
        f"measured with torch 2.6.0 (here {torch_here}), transformers 4.48.0 (here {transformers_here}): "
        "another version may have other numbers"
    )
    assert judgement(of, measured, store).notes == (line,) * told


def test_the_baseline_is_read_only_where_a_claim_asks_for_it(tmp_path):
    place = tmp_path / "b.json"
    place.write_text("damaged")
    assert kept_baseline(gate(PAYS), place) is None
    assert kept_baseline(gate(KEPT), tmp_path / "none.json") is None
    with pytest.raises(UsageError, match="no baseline that this version"):
        kept_baseline(gate(KEPT), place)


def test_updating_writes_what_cells_have_now(tmp_path, store):
    of, place = gate(PAYS, KEPT), tmp_path / "b.json"
    place.write_text("damaged")
    made = update_baseline(of, saved(store, WELL), place)
    assert read_baseline(place) == made
    lora = [plan.cell for plan in of.planned][:2]
    assert [made.value(each, "activation_bytes") for each in lora] == [100, 100]
    assert len(made.cells) == 2, "those that no claim compares with it are not in it"
    more = records(OF, 100, 101, 50, 60)
    assert judgement(of, more, store, baseline=made).exit_code == 3


@pytest.mark.parametrize("results", [replaced(WELL, 1, status="oom"), dict(list(WELL.items())[:1])])
def test_updating_leaves_the_old_one_where_a_cell_has_no_value(tmp_path, store, results):
    of, place = gate(KEPT), tmp_path / "b.json"
    update_baseline(of, saved(store, WELL), place)
    before = place.read_bytes()
    for file in (store.out / "cells").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="the baseline is left as it is: "):
        update_baseline(of, saved(store, results), place)
    assert place.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["b.json"]


def test_updating_for_some_claims_alone_would_lose_the_others(tmp_path, store):
    saved(store, WELL)
    claims = [{**KEPT, "name": "one"}, {**KEPT, "name": "two", "of": {"method": "lora-fa"}}]
    with pytest.raises(UsageError, match="writes the whole baseline, 'two' included: leave out --claim"):
        update_baseline(gate(*claims, pattern="one"), store, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()
    update_baseline(
        gate({**KEPT, "name": "one"}, {**SMALL, "name": "two"}, pattern="one"), store, tmp_path / "b.json"
    )


def test_updating_where_no_claim_asks_for_it(tmp_path, store):
    with pytest.raises(UsageError, match="no claim compares with the baseline"):
        update_baseline(gate(PAYS), saved(store, WELL), tmp_path / "b.json")


@pytest.mark.parametrize(("place", "why"), [("no/b.json", "No such file"), ("out", "Is a directory")])
def test_a_baseline_that_cannot_be_written(tmp_path, store, place, why):
    with pytest.raises(
        UsageError, match=rf"cannot write the baseline .*{place}: {why}.*; name one by --baseline$"
    ):
        update_baseline(gate(KEPT), saved(store, WELL), tmp_path / place)


# --- results that are there


def run(of: Gate, results: dict[str, CellResult], store: Store) -> Store:
    """As `lorafa-prof run` leaves its folder."""
    write_provenance(saved(store, results), of.loaded.scenario, list(results.values()), [])
    return store


def edited(store: Store, **changes: Any) -> None:
    file = store.out / "provenance.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_results_are_judged_as_if_they_had_just_come(store):
    of = gate(PAYS, {**SMALL, "between": [1, "90 B"], "at_most": None, "source": "a paper"}, KEPT, CLOCK)
    run(of, WELL, store)
    again, same_store, results = stored_gate(store.out, None)
    assert (same_store, list(results)) == (store, list(WELL))
    assert again.checks == of.checks
    found = judged(again, results, store, None)
    fresh = judged(of, WELL, store, None)
    assert [finding.items for finding in found.findings] == [finding.items for finding in fresh.findings]
    assert {finding.line for finding in found.findings} == {None}
    assert (found.title, found.exit_code) == ("mine", 3)


def test_of_results_too_claims_are_chosen_and_a_baseline_is_made(tmp_path, store):
    run(gate({**KEPT, "name": "kept"}, {**SMALL, "name": "small"}), WELL, store)
    of, _, _ = stored_gate(store.out, "small")
    assert {check.claim.name for check in of.checks} == {"small"}
    of, _, _ = stored_gate(store.out, None)
    assert len(update_baseline(of, store, tmp_path / "b.json").cells) == 2


def test_what_an_interrupted_run_did_not_come_to_is_not_judged(store):
    run(gate(PAYS, SMALL), dict(list(WELL.items())[:3]), store)
    of, _, results = stored_gate(store.out, None)
    found = judged(of, results, store, None)
    assert [[item.state for item in finding.items] for finding in found.findings] == [
        ["pass", "unknown"],
        ["pass", "unknown"],
    ]
    assert found.findings[0].items[1].note == f"{OF.planned[3].cell.label}: not measured"
    assert found.exit_code == 4


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_what_a_gpu_measured_is_judged_on_a_machine_without_one(monkeypatch, store, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    measured = {
        each.cell_id: result(each, activation_bytes=100)
        for each in (
            cell.model_copy(update={"device": "cuda", "gpu": "h200"})
            for cell in (plan.cell for plan in OF.planned)
        )
    }
    scenario = gate(SMALL).loaded.scenario.model_copy(update={"device": [device, "sim:b200"]})
    write_provenance(saved(store, measured), scenario, list(measured.values()), [])
    of, _, results = stored_gate(store.out, None)
    (finding,) = judged(of, results, store, None).findings
    assert [(check.cell.device, check.cell.gpu) for check in of.checks[:2]] == [
        ("cuda", "h200"),
        ("sim:b200", "b200"),
    ]
    assert [item.state for item in finding.items] == ["pass", "unknown"] * 2


def test_a_folder_without_results_is_nothing_to_judge(tmp_path, store):
    for folder in (tmp_path, store.out, tmp_path / "none"):
        with pytest.raises(NothingToJudgeError, match="holds no results of `lorafa-prof run` or `check`"):
            stored_gate(folder, None)
    run(gate(PAYS), WELL, store)
    edited(store, cells=[])
    with pytest.raises(NothingToJudgeError, match="holds no results of its cells"):
        stored_gate(store.out, None)
    edited(store, cells=["cell_of_another_run"])
    with pytest.raises(NothingToJudgeError, match="holds no results of its cells"):
        stored_gate(store.out, None)


def test_results_of_a_scenario_without_claims_are_nothing_to_judge(store):
    of = gate(PAYS)
    run(of, WELL, store)
    edited(store, scenario=of.loaded.scenario.model_dump(mode="json", by_alias=True) | {"claims": []})
    with pytest.raises(NothingToJudgeError, match="it makes no claims"):
        stored_gate(store.out, None)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"cells": []}',
        '{"cells": 3, "scenario": {}}',
        '{"cells": [], "scenario": 3}',
        '{"cells": null, "scenario": {}}',
        b'"caf\xe9"',
    ],
)
def test_a_damaged_provenance_is_told_in_one_line(store, content):
    file = store.out / "provenance.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as caught:
        stored_gate(store.out, None)
    assert str(caught.value) == f"{file}: this cannot be read as a record of lorafa-prof"
    file.unlink()
    file.mkdir()
    with pytest.raises(UsageError, match="this cannot be read as a record"):
        stored_gate(store.out, None)


def test_a_file_is_no_folder_of_results(tmp_path):
    (tmp_path / "s.csv").write_text("")
    with pytest.raises(UsageError, match="this cannot be read as a record"):
        stored_gate(tmp_path / "s.csv", None)


@pytest.mark.parametrize(
    ("claim", "key", "words"),
    [
        ({"metric": "activation_bytes", "at_most": 1}, "claims[0].name", "this key is required"),
        ({"name": "a", "metric": "fits", "max": 1}, "claims[0].max", "unknown key"),
        ({"name": "a", "expression": "x < y"}, "claims[0].expression", "unknown key"),
        ("x < y", "claims[0]", "a mapping of keys to values"),
        ({"name": "a", "metric": "was_renamed", "at_most": 1}, "claims[0].metric", "unknown metric"),
    ],
)
def test_claims_of_an_older_form_are_told_in_one_line(store, claim, key, words):
    of = gate(PAYS)
    run(of, WELL, store)
    edited(store, scenario=of.loaded.scenario.model_dump(mode="json", by_alias=True) | {"claims": [claim]})
    with pytest.raises(ScenarioError) as caught:
        stored_gate(store.out, None)
    said = str(caught.value)
    assert said.startswith(f"{store.out / 'provenance.json'}: {key}: "), said
    assert words in said
    assert "\n" not in said


def test_a_damaged_record_is_told(store):
    run(gate(PAYS), WELL, store)
    broken: Cell = next(iter(WELL.values())).cell
    store.cell_file(broken.cell_id).write_text("{")
    with pytest.raises(UsageError, match="this record is damaged"):
        stored_gate(store.out, None)
