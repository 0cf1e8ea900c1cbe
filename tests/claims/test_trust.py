"""Which stored results are judged, and which are said not to be worth it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cells import GPU
from claimed import cell, result
from gates import OF, PAYS, SMALL, WELL, gate, judgement, saved
from stored import PACKAGES

from lorafa_prof.claims.gate import judged, stored_gate
from lorafa_prof.claims.trust import Stale, doubts_of, is_stale, stale_parts, stored_doubts
from lorafa_prof.errors import NothingToJudgeError, ScenarioError
from lorafa_prof.results.fingerprint import KEY, PARTS, Fingerprint
from lorafa_prof.results.provenance_file import write_provenance
from lorafa_prof.results.record import CellResult

NOW: Fingerprint = dict.fromkeys(PARTS, "as it is")


def made(of: CellResult, **parts: str | None) -> CellResult:
    """The result with a fingerprint of today, but for these parts."""
    return of.model_copy(update={"environment": {**of.environment, KEY: {**NOW, **parts}}})


def all_made(**parts: str | None) -> dict[str, CellResult]:
    return {cell_id: made(each, **parts) for cell_id, each in WELL.items()}


TWIN, GPU_ROW = result(cell(), activation_bytes=5), result(cell(device="cuda"), activation_bytes=5)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", ["other", None])
def test_a_prediction_is_stale_once_any_part_is_other_or_unknown(part, value):
    assert not is_stale(made(TWIN), NOW)
    assert is_stale(made(TWIN, **{part: value}), NOW)
    assert is_stale(made(TWIN), {**NOW, part: None}), "what is unknown today equals nothing"
    assert len(stale_parts(made(TWIN, **{part: value}), NOW)) == 1


def test_of_before_there_were_fingerprints_a_prediction_is_stale_and_a_measurement_is_kept():
    assert is_stale(TWIN, NOW)
    assert not is_stale(GPU_ROW, NOW)
    assert not is_stale(made(GPU_ROW), NOW)
    assert is_stale(made(GPU_ROW, torch="other"), NOW)


def test_a_kept_row_that_is_not_of_its_cell_is_worth_nothing():
    assert is_stale(made(TWIN.model_copy(update={"row": {**TWIN.row, "batch": 99}})), NOW)


@pytest.mark.parametrize(
    ("kept", "stale", "code"),
    [
        (all_made(), "again", 0),
        (all_made(model="edited"), "again", 4),
        (all_made(model=None), "again", 4),
        (WELL, "again", 4),
        (all_made(model="edited"), "keep", 0),
        (WELL, "keep", 0),
    ],
)
def test_stored_predictions_of_other_code_are_not_judged_unless_asked_and_then_loudly(
    store, kept: dict[str, CellResult], stale: Stale, code: int
):
    doubts = stored_doubts(kept, stale, lambda of: NOW)
    found = judged(OF, kept, saved(store, kept), None, doubts)
    assert found.exit_code == code
    notes = [item.note for finding in found.findings for item in finding.items]
    if code == 4:
        assert all("predicted with other than today's code: " in note for note in notes)
    if stale == "keep":
        assert any(note.startswith("STALE: --stale keep judges 4 predictions") for note in found.notes)


def test_that_a_step_does_not_fit_is_not_judged_of_other_code_or_of_another_cell_either(store):
    of = gate({"metric": "fits", "of": {"rank": 8}, "equals": 0})
    out = {plan.cell.cell_id: result(plan.cell, status="oom", failed_phase="forward") for plan in of.planned}

    def code(kept: dict[str, CellResult], stale: Stale) -> int:
        doubts = stored_doubts(kept, stale, lambda of: NOW)
        return judged(of, kept, saved(store, kept), None, doubts).exit_code

    assert code({cell_id: made(each) for cell_id, each in out.items()}, "again") == 0
    edited = {cell_id: made(each, model="edited") for cell_id, each in out.items()}
    assert code(edited, "again") == 4
    assert code(edited, "keep") == 0
    other_rows = {
        cell_id: made(each.model_copy(update={"row": {**each.row, "batch": 99}}))
        for cell_id, each in out.items()
    }
    assert code(other_rows, "again") == code(other_rows, "keep") == 4


def test_only_what_is_of_its_cell_is_kept_and_all_of_it_is_looked_at(store):
    others_row, measured, edited, failed = (
        made(cell_result, model="edited")
        for cell_result in (
            TWIN.model_copy(update={"row": {**TWIN.row, "batch": 99}}),
            GPU_ROW,
            TWIN,
            result(cell(), status="error"),
        )
    )
    kept = {"others row": others_row, "measured": measured, "failed": failed, "edited": edited}
    again, keep = (stored_doubts(kept, stale, lambda of: NOW) for stale in ("again", "keep"))
    assert list(again.of_cells) == ["others row", "edited"]
    assert again.pairs
    assert again.of_cells["edited"] == (
        "predicted with other than today's code: the model's config or files; run or check the scenario "
        "again, or --stale keep judges it as it is"
    )
    assert list(keep.of_cells) == ["others row"]
    assert keep.notes == (
        "STALE: --stale keep judges 1 prediction of other than today's code: the model's config or files",
    )
    assert stored_doubts({"measured": measured}, "keep", lambda of: NOW).notes == ()


def test_kept_predictions_of_several_codes_are_judged_against_each_other_and_the_reasons_are_told(store):
    first, *others = WELL
    kept = {
        first: made(WELL[first], model="edited"),
        **{each: made(WELL[each], torch="1") for each in others},
    }
    found = judged(gate(PAYS), kept, saved(store, kept), None, stored_doubts(kept, "keep", lambda of: NOW))
    assert found.exit_code == 0
    assert found.notes[0].endswith("today's code: the model's config or files; torch 1 (now as it is)")


def changed(index: int, **environment: Any) -> dict[str, CellResult]:
    cell_id = list(WELL)[index]
    other = WELL[cell_id].model_copy(update={"environment": environment})
    return {**WELL, cell_id: other}


OLD = {"packages": {**PACKAGES, "torch": "1.0.0"}}


def test_results_of_other_versions_are_not_judged_against_each_other(store):
    found = judgement(gate(PAYS), changed(0, **OLD), store)
    assert found.exit_code == 4
    notes = [item.note for item in found.findings[0].items]
    assert notes == ["they are of different makings: torch 2.13.0 and 1.0.0", ""]
    assert "the results are of different makings: torch 1.0.0 and 2.13.0" in found.notes


def test_each_judged_alone_they_are_told(store):
    found = judgement(gate({"at_most": 100}), changed(0, **OLD), store)
    assert found.exit_code == 0
    assert "the results are of different makings: torch 1.0.0 and 2.13.0" in found.notes


def test_what_a_torch_was_built_for_is_no_other_version(store):
    cpu = {"packages": {**PACKAGES, "torch": "2.13.0+cpu"}}
    assert judgement(gate(PAYS), changed(0, **cpu), store).exit_code == 0


@pytest.mark.parametrize("part", ["lorafa-prof", "extensions", "accelerate", "triton"])
def test_results_of_other_code_are_not_judged_against_each_other(store, part):
    kept = {**all_made(), next(iter(WELL)): made(next(iter(WELL.values())), **{part: "other"})}
    assert judgement(gate(PAYS), all_made(), store).exit_code == 0
    assert judgement(gate(PAYS), kept, store).exit_code == 4


def test_nor_are_those_of_a_config_that_was_edited_between(store):
    kept = {**all_made(), next(iter(WELL)): made(next(iter(WELL.values())), model="before")}
    assert judgement(gate(PAYS), kept, store).exit_code == 4


def test_a_result_that_nobody_knows_the_makings_of_is_not_judged(store):
    found = judgement(gate(SMALL), changed(1), store)
    assert found.exit_code == 4
    assert found.findings[0].items[0].note == "nobody knows what made it: its record names no versions"


@pytest.mark.parametrize(
    ("column", "value"), [("batch", 99), ("method", "lora-fa"), ("rank", 4), ("gpu", None)]
)
def test_a_row_that_is_not_of_its_cell_is_not_judged(store, column, value):
    cell_id = list(WELL)[1]
    row = {**WELL[cell_id].row, column: value}
    found = judgement(gate(SMALL), {**WELL, cell_id: WELL[cell_id].model_copy(update={"row": row})}, store)
    assert found.exit_code == 4
    assert found.findings[0].items[0].note == f"its row is not of its cell: {column} differ"


def test_a_cell_of_one_gpu_that_another_one_measured_is_not_judged():
    on_gpu = result(cell(device="cuda").model_copy(update={"gpu": GPU}), activation_bytes=5)
    for name, wrong in ((GPU, False), ("h200", True), (None, False)):
        environment = {**on_gpu.environment, "gpu": {"catalogue_name": name}}
        found = doubts_of({"id": on_gpu.model_copy(update={"environment": environment})})
        assert bool(found.of_cells) == wrong


def test_measured_on_several_gpus_is_nothing_to_judge(store):
    measured = {}
    for plan, gpu in zip(OF.planned, ("h200", "h200", GPU, GPU), strict=True):
        of = plan.cell.model_copy(update={"device": "cuda", "gpu": gpu})
        measured[of.cell_id] = result(of, activation_bytes=5)
    scenario = gate(SMALL).loaded.scenario.model_copy(update={"device": ["cuda"]})
    write_provenance(saved(store, measured), scenario, list(measured.values()), [])
    with pytest.raises(NothingToJudgeError, match=r"on several GPUs \(h100-80gb, h200\)"):
        stored_gate(store.out, None)


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (["run"], True),
        (["run", "--set", "rank=8"], False),
        (["run", "--set=rank=8"], False),
        (["run", "--set=batch=2"], True),
        (["run", "--set", "rank=8", "--set=batch=2"], False),
        (["run", "--set=rank=8", "--set", "batch=2"], False),
    ],
)
def test_values_that_no_stored_cell_has_are_refused_too_unless_they_were_overridden(store, command, refused):
    of = gate({"of": {"rank": [4, 8]}, "at_most": 100})
    claims = [claim.model_copy(update={"of": {"rank": [4, 8, 999]}}) for claim in of.loaded.scenario.claims]
    scenario = of.loaded.scenario.model_copy(update={"claims": claims})
    write_provenance(saved(store, WELL), scenario, list(WELL.values()), command)
    if refused:
        with pytest.raises(ScenarioError, match=r"of\.rank\[2\]: no cell has 999 \(the nearest is 8\)"):
            stored_gate(store.out, None)
    else:
        assert stored_gate(store.out, None)


@pytest.mark.parametrize("command", [None, 3, {"--set": "rank=8"}])
def test_a_command_that_is_none_overrode_nothing(store, command):
    write_provenance(saved(store, WELL), OF.loaded.scenario, list(WELL.values()), ["run"])
    file = store.out / "provenance.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "command": command}))
    assert stored_gate(store.out, None)[0].loaded.document.replaced == {}
