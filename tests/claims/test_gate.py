"""A scenario made ready to be judged, what of its kept results counts, and what the whole comes to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cells import GPU
from claimed import scenario, written
from gates import CLOCK, HEAD, KEPT, OF, PAYS, SMALL, WELL, gate, judgement, records, replaced, saved

from lorafa_prof.cell import ResolvedDevice
from lorafa_prof.claims.gate import gate_of, judged, machines_text
from lorafa_prof.devices.device import resolve_twin_by_default
from lorafa_prof.errors import NothingToJudgeError, ScenarioError, UsageError

# --- making ready


@pytest.mark.parametrize("has_gpu", [True, False])
def test_an_open_device_is_the_twin_also_beside_a_gpu(monkeypatch, has_gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert resolve_twin_by_default("auto", GPU) == ResolvedDevice(f"sim:{GPU}", GPU)
    assert {plan.cell.device for plan in gate(SMALL).planned} == {f"sim:{GPU}"}


def test_a_device_that_is_named_is_kept(monkeypatch):
    assert resolve_twin_by_default("cpu", GPU) == ResolvedDevice("cpu", None)
    assert resolve_twin_by_default("sim:h200", GPU) == ResolvedDevice("sim:h200", "h200")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert resolve_twin_by_default("cuda", GPU) == ResolvedDevice("cuda", "h200")


def test_a_gpu_that_is_unknown_is_told_at_its_line():
    with pytest.raises(ScenarioError, match=r"^s\.yaml:9: gpu: unknown GPU 'h100-80g' \(did you mean 'h100"):
        gate_of(scenario(SMALL, head=HEAD.replace("h100-80gb", "h100-80g")), None)


def test_only_the_cells_that_claims_are_about_are_needed_in_the_scenarios_order():
    def needed(*claims: dict[str, Any]) -> list[tuple[str, int]]:
        return [(plan.cell.method.name, plan.cell.method.options["rank"]) for plan in gate(*claims).needed]

    assert needed({"of": {"method": "lora-fa"}, "at_most": 1}) == [("lora-fa", 4), ("lora-fa", 8)]
    assert needed({**PAYS, "of": {"method": "lora-fa", "rank": 8}}) == [("lora", 8), ("lora-fa", 8)]
    assert needed(PAYS, SMALL) == [("lora", 4), ("lora", 8), ("lora-fa", 4), ("lora-fa", 8)]


def test_claims_are_chosen_by_their_name():
    claims = [{**SMALL, "name": name} for name in ("peak of LoRA", "peak of LoRA-FA", "other")]
    assert {check.claim.name for check in gate(*claims, pattern="^peak").checks} == {
        "peak of LoRA",
        "peak of LoRA-FA",
    }
    assert len(gate(*claims, pattern=None).checks) == len(gate(*claims, pattern="").checks) == 6


def test_a_claim_that_was_not_chosen_has_to_make_sense_all_the_same():
    with pytest.raises(ScenarioError, match=r"claims\[1\]\.of\.rank: no cell has 5"):
        gate({**SMALL, "name": "a"}, {"of": {"rank": 5}, "at_most": 1}, pattern="a")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("nothing", "--claim nothing: no claim of s.yaml matches"),
        ("(", "--claim (: this is no regular expression"),
    ],
)
def test_a_pattern_that_chooses_none(pattern, said):
    with pytest.raises(UsageError) as caught:
        gate(SMALL, pattern=pattern)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("pattern", [None, "a"])
def test_a_scenario_without_claims_is_nothing_to_judge(pattern):
    with pytest.raises(NothingToJudgeError, match=r"^s\.yaml: it makes no claims") as caught:
        gate_of(written(HEAD.removesuffix("claims:\n")), pattern)
    assert caught.value.exit_code == 4


# --- what it comes to


@pytest.mark.parametrize(
    ("claims", "results", "code"),
    [
        ([PAYS, SMALL], WELL, 0),
        ([PAYS, SMALL], records(OF, 100, 100, 50, 91), 3),
        ([PAYS], records(OF, 100, 100, 50, None), 4),
        ([PAYS], records(OF, 100, None, 95, 95), 3),
        ([CLOCK], WELL, 4),
        ([PAYS, CLOCK], WELL, 4),
        ([PAYS, CLOCK], records(OF, 10, 10, 50, 60), 3),
        ([PAYS], {}, 4),
        ([PAYS], replaced(WELL, 3, status="error", message="it broke"), 1),
        ([PAYS], replaced(WELL, 3, status="timeout", message="after 3 s"), 1),
        ([PAYS], replaced(records(OF, 10, 100, 50, 60), 3, status="error", message="it broke"), 3),
        ([PAYS, CLOCK], replaced(WELL, 3, status="error", message="it broke"), 1),
        ([{**SMALL, "of": {"rank": 4}}], replaced(WELL, 3, status="error", message="it broke"), 0),
        ([KEPT], WELL, 4),
    ],
)
def test_the_exit_code(store, claims, results, code):
    assert judgement(gate(*claims), results, store).exit_code == code


def test_a_failed_cell_without_a_message_is_told_by_its_status(store):
    found = judgement(gate(SMALL), replaced(WELL, 1, status="timeout"), store)
    assert found.cells_failed == (f"{OF.planned[1].cell.label}: timeout",)
    assert [found.count(state) for state in ("pass", "fail", "unknown")] == [0, 0, 1]


def test_what_is_told_of_the_whole(store):
    broken = replaced(WELL, 2, status="error", message="it broke")
    broken = replaced(broken, 3, activation_bytes=5, message="not checked against a GPU: aten.foo")
    found = judgement(gate(PAYS, SMALL), broken, store)
    assert found.title == "mine"
    assert [finding.name for finding in found.findings] == ["claim 0", "claim 1"]
    assert found.cells_failed == (f"{OF.planned[2].cell.label}: it broke",)
    assert found.notes == ("not checked against a GPU: aten.foo",)
    assert found.machine == f"sim:{GPU}, peft 0.21.0, torch 2.13.0, transformers 5.17.0"


def test_tensors_come_from_the_stored_record_though_results_have_no_details(store):
    full = records(OF, 100, 100, 50, 101)
    bare = {
        cell_id: each.model_copy(update={"details": {}})
        for cell_id, each in saved(store, full).load_all(list(full)).items()
    }
    (finding,) = judged(gate(SMALL), bare, store, None).findings
    assert [change.delta_bytes for change in finding.culprits] == [101]


def test_a_machine_is_its_devices_and_versions():
    one, other = (
        next(iter(WELL.values())).model_copy(update={"environment": {"packages": packages}})
        for packages in ({"torch": "2.13.0", "numpy": "2"}, {"torch": "2.14.0", "peft": None})
    )
    on_cpu = other.model_copy(update={"cell": other.cell.model_copy(update={"device": "cpu"})})
    assert machines_text([one, on_cpu]) == f"cpu, sim:{GPU}, torch 2.13.0, torch 2.14.0"
    assert machines_text([]) == ""
