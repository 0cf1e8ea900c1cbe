"""What `lorafa-prof check` runs, judges, writes and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorafa_prof.cell import Cell
from lorafa_prof.cli.main import main
from lorafa_prof.results.record import CellResult
from lorafa_prof.running import on_this_machine
from lorafa_prof.running.measure import measure_cell

SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method:
  - full-ft
  - {name: lora, rank: [2, 4]}
  - {name: lora-fa, rank: [2, 4]}
batch: 1
seq: 32
claims:
"""
PAYS = """\
  - name: freezing A pays
    source: arXiv 2308.03303
    metric: activation_bytes
    of: {method: lora-fa}
    relative_to: {method: lora}
    at_most: 0.95
"""
KEPT = """\
  - name: no byte more
    metric: [activation_bytes, peak_allocated_bytes]
    of: {method: lora-fa}
    at_most: baseline
"""
DREAM = """\
  - name: a dream
    metric: activation_bytes
    of: {method: lora}
    at_most: "1 KiB"
"""
WAKING = DREAM.replace("at_most", "at_least").replace("1 KiB", "1 MiB")
CLOCK = """\
  - name: fast
    metric: step_ms_median
    of: {method: lora}
    at_most: "1 s"
"""


class Check:
    """Calls `lorafa-prof check`; cells are predicted in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.ran: list[Cell] = []
        self.out = self.err = ""

    def cell(
        self, cell: Cell, log: Path, timeout_s: float | None, visible_gpus: str | None = None
    ) -> CellResult:
        self.ran.append(cell)
        return measure_cell(cell)

    def __call__(self, *arguments: str) -> int:
        self.ran.clear()
        with pytest.raises(SystemExit) as ended:
            main(["check", *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(on_this_machine, "MOST_AT_ONCE", 1)  # twins replace functions of the whole process
    runs = Check(capsys)
    monkeypatch.setattr(on_this_machine, "run_cell", runs.cell)
    return runs


def scenario(*claims: str, name: str = "s.yaml") -> str:
    Path(name).write_text(SCENARIO + "".join(claims))
    return name


def test_it_runs_what_the_claims_need_on_the_twin_and_says_that_they_hold(check: Check) -> None:
    assert check(scenario(PAYS)) == 0
    assert {cell.device for cell in check.ran} == {"sim:h100-80gb"}
    assert {cell.method.name for cell in check.ran} == {"lora", "lora-fa"}, "no claim is about full-ft"
    assert "holds" in check.out
    assert "freezing A pays" in check.out
    assert Path("out/check-mine/results.csv").exists()
    assert "\x1b" not in check.out + check.err


def test_a_second_check_predicts_nothing_again_until_versions_change(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(scenario(PAYS))
    assert check("s.yaml") == 0
    assert check.ran == []
    monkeypatch.setattr("lorafa_prof.results.fingerprint.package_version", lambda name: "99")
    check("s.yaml")
    assert len(check.ran) == 4


def test_one_that_fails_is_3_with_its_source_place_and_tensors(check: Check) -> None:
    assert check(scenario(PAYS, DREAM), "--json", "r.json") == 3
    report = json.loads(Path("r.json").read_text())["judgements"][0]
    states = {finding["name"]: finding["state"] for finding in report["findings"]}
    assert states == {"freezing A pays": "pass", "a dream": "fail"}
    dream = report["findings"][1]
    assert Path("s.yaml").read_text().splitlines()[dream["line"] - 1] == "  - name: a dream"
    assert dream["culprits"][0]["delta_bytes"] > 1024
    assert f"s.yaml:{dream['line']}" in check.out


def test_one_that_cannot_be_judged_is_4_and_never_a_pass(check: Check) -> None:
    assert check(scenario(PAYS, CLOCK)) == 4
    assert "the twin has no clock" in check.out


def test_a_failure_outweighs_what_cannot_be_judged(check: Check) -> None:
    assert check(scenario(CLOCK, DREAM)) == 3


def test_only_the_claims_asked_for_and_their_cells(check: Check) -> None:
    assert check(scenario(PAYS, DREAM), "--claim", "freezing") == 0
    assert "a dream" not in check.out
    assert check("s.yaml", "--claim", "nothing such") == 2
    assert "nothing such" in check.err


def test_a_baseline_is_written_held_to_and_told_from_growth(check: Check) -> None:
    assert check(scenario(KEPT)) == 4
    assert "--update-baseline" in check.out
    assert check("s.yaml", "--update-baseline") == 0
    file = Path("s.baseline.json")
    assert check("s.yaml") == 0
    data = json.loads(file.read_text())
    for cell in data["cells"].values():
        cell["metrics"]["activation_bytes"] -= 1
    file.write_text(json.dumps(data))
    assert check("s.yaml") == 3
    assert "1 B too much" in check.out


def test_the_baseline_may_be_elsewhere(check: Check) -> None:
    assert check(scenario(KEPT), "--update-baseline", "--baseline", "kept/b.json") == 2
    Path("kept").mkdir()
    assert check("s.yaml", "--update-baseline", "--baseline", "kept/b.json") == 0
    assert check("s.yaml", "--baseline", "kept/b.json") == 0
    assert not Path("s.baseline.json").exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"cells": {}}', '{"form": "other", "packages": {}, "cells": {}}']
)
def test_an_unreadable_or_foreign_baseline_is_one_line(check: Check, content: str) -> None:
    Path("b.json").write_text(content)
    assert check(scenario(KEPT), "--baseline", "b.json") == 2
    last = check.err.splitlines()[-1]
    assert last.startswith("lorafa-prof: b.json: ")
    assert "--update-baseline" in last


def test_stored_results_are_judged_as_they_are(check: Check) -> None:
    check(scenario(PAYS, DREAM))
    assert check("out/check-mine") == 3
    assert check.ran == []
    assert "freezing A pays" in check.out
    assert check("out/check-mine", "--device", "cpu") == 2
    Path("empty").mkdir()
    assert check("empty") == 4
    assert "holds no results" in check.err


def test_the_worst_of_several_scenarios_counts(check: Check) -> None:
    good, bad = scenario(PAYS, name="good.yaml"), scenario(DREAM, name="bad.yaml")
    assert check(good, bad) == 3
    assert "freezing A pays" in check.out
    assert "a dream" in check.out
    assert check(good, bad, "-o", "one") == 2


def test_a_cell_that_fails_is_1_unless_a_claim_fails(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(cell: Cell, log: Path, timeout_s: float | None, visible_gpus: str | None = None) -> CellResult:
        result = measure_cell(cell)
        return result.model_copy(update={"row": {**result.row, "status": "error", "message": "told to"}})

    monkeypatch.setattr(on_this_machine, "run_cell", broken)
    assert check(scenario(PAYS)) == 1
    assert "told to" in check.out


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (PAYS.replace("method: lora-fa", "method: lora-faa"), ["s.yaml", "claims[0].of", "no cell"]),
        (
            PAYS.replace("activation_bytes", "activation_byte"),
            ["unknown metric", "mean 'activation_bytes'"],
        ),
        (
            DREAM.replace("1 KiB", "1 KiBs"),
            ["claims[0].at_most", "unknown unit 'KiBs'", "mean 'KiB'"],
        ),
        (PAYS.replace("at_most", "atmost"), ["claims[0].atmost", "did you mean 'at_most'"]),
        (
            DREAM + DREAM.replace("at_most", "at_least").replace("1 KiB", "1 MiB"),
            ["contradicts", "'a dream'"],
        ),
        ("  []\n", ["makes no claims"]),
    ],
)
def test_bad_claims_are_one_line_before_anything_runs(check: Check, claims: str, words: list[str]) -> None:
    code = check(scenario(claims))
    assert code == (4 if "makes no" in words[0] else 2)
    assert check.ran == []
    (line,) = check.err.splitlines()
    for word in words:
        assert word in line


def test_what_run_left_out_cannot_be_judged(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    scenario(PAYS)
    with pytest.raises(SystemExit) as ended:
        main(["run", "s.yaml", "--no-figures", "-k", "lora-fa"])
    assert ended.value.code == 0
    assert "`lorafa-prof check out/mine` judges" in capsys.readouterr().err
    assert check("out/mine") == 4
    assert "not measured" in check.out


def test_a_config_that_was_edited_is_predicted_again_and_a_stored_one_is_not_judged(check: Check) -> None:
    from lorafa_prof.cell import ModelChoice
    from lorafa_prof.models.resolve import resolve_model

    config = resolve_model(ModelChoice(name="tiny-llama")).config
    Path("config.json").write_text(config.to_json_string(use_diff=False))
    small = DREAM.replace("1 KiB", "1 GiB")
    Path("s.yaml").write_text((SCENARIO + small).replace("tiny-llama", "./config.json"))
    assert check("s.yaml") == 0
    assert check("s.yaml") == 0
    assert check.ran == []
    Path("config.json").write_text(json.dumps({**config.to_dict(), "num_hidden_layers": 1}))
    assert check("out/check-mine") == 4
    assert "the model's config or files" in check.out
    assert check("out/check-mine", "--stale", "keep") == 0
    assert "STALE: --stale keep judges 2 predictions" in check.out
    assert check("s.yaml", "--stale", "keep") == 0
    assert check.ran == []
    assert "STALE: " in check.out
    with pytest.raises(SystemExit):
        main(["run", "s.yaml", "--no-figures", "-o", "out/check-mine", "-k", "lora r2", "--stale", "keep"])
    assert check.ran == []
    with pytest.raises(SystemExit):
        main(["run", "s.yaml", "--no-figures", "-o", "out/check-mine", "-k", "lora r2"])
    assert len(check.ran) == 1, "run too measures it again"
    assert check("s.yaml") == 0
    assert len(check.ran) == 1, "and check the other one"


def test_times_measured_beside_others_are_judged_only_where_that_is_asked_for_and_then_it_is_said(
    check: Check,
) -> None:
    Path("s.yaml").write_text(SCENARIO + CLOCK.replace("method: lora", "method: lora, rank: 2"))
    assert check("s.yaml", "--device", "cpu") == 0
    (file,) = Path("out/check-mine/cells").iterdir()
    record = json.loads(file.read_text())
    record["details"]["marks"] = {"beside": "measured beside process 7 on the GPU: its times are no row's"}
    file.write_text(json.dumps(record))
    assert check("out/check-mine") == 4
    assert "measured beside process 7" in check.out
    assert check("out/check-mine", "--marked", "keep") == 0
    assert "MARKED, judged because of --marked keep: measured beside process 7" in check.out
