"""`lorafa-prof learn`, with toys for tasks, its runs in this process."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from learning.toy_task import open_toys_only

from lorafa_prof.cell import Cell
from lorafa_prof.cli.main import main
from lorafa_prof.learning import sweep
from lorafa_prof.quality.group import groups_of
from lorafa_prof.quality.read import read_learning
from lorafa_prof.results.record import CellResult

SCENARIO = """
schema: 1
name: toys
model: tiny-llama
method:
  - {name: lora-fa, rank: 2, targets: q_proj, correction: [true, false]}
  - {name: full-ft, learning_rate: 1e-3}
batch: 4
seq: 8
dtype: fp32
device: cpu
task: {name: toy, data: data}
training:
  steps: 4
  learning_rate: [1e-2, 1e-3]
  seed: [0, 1]
  evaluate_every: 2
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of it; runs are trained in this process, which has toys for tasks."""
    open_toys_only(monkeypatch)

    def run_here(cell: Cell, log: Path, timeout_s: float | None, work: Any, gpu: str | None) -> CellResult:
        result: CellResult = work(cell)
        return result

    monkeypatch.setattr(sweep, "run_cell", run_here)
    (tmp_path / "data").mkdir()
    file = tmp_path / "toys.yaml"
    file.write_text(SCENARIO)
    return file


def code_of(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["learn", *map(str, arguments)])
    return int(ended.value.code or 0)


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "learning.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_scenario_is_trained_and_goes_on_where_it_stopped(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert code_of(scenario, "-o", out, "--dry-run") == 0
    listed = capsys.readouterr().out
    assert listed.count("tiny-llama_lora-fa_r2_b4_s8_toy_lr") == 8
    assert listed.count("tiny-llama_full-ft_b4_s8_toy_lr0.001") == 2
    assert not out.exists()
    assert code_of(scenario, "-o", out, "-k", "full-ft", "--no-figures") == 0
    assert not (out / "figures").exists()
    assert {row["method"] for row in rows_of(out)} == {"full-ft"}
    capsys.readouterr()
    assert code_of(scenario, "-o", out) == 0
    told = capsys.readouterr()
    assert "note: " not in told.err
    assert "seed 1 draw 0: test of step 4: accuracy" in told.err
    rows = rows_of(out)
    assert len({row["run_id"] for row in rows}) == 10
    assert {row["method"] for row in rows} == {"full-ft", "lora-fa", "lora-fa-uncorrected"}
    assert len(rows) == 10 * 4
    assert all(row["status"] == "ok" for row in rows)
    provenance = json.loads((out / "provenance.json").read_text())
    assert "\nin short\n- On toy, lora-fa " in told.err
    assert "\n- On toy, the best of 3 cells is " in told.err
    assert provenance["cells"] == list(dict.fromkeys(row["cell_id"] for row in rows))
    assert provenance["scenario"]["training"]["learning_rate"] == [1e-2, 1e-3]
    assert (out / "figures" / "loss-over-steps.png").is_file()
    assert len(provenance["environments"]) >= 1
    assert code_of(scenario, "-o", out, "--no-figures") == 0
    assert "10 of 10 runs have ended already" in capsys.readouterr().err
    assert rows_of(out) == rows
    assert code_of(scenario, "-o", out, "--no-figures", "--json") == 0
    learned = json.loads(capsys.readouterr().out)
    assert [len(run["evaluations"]) for run in learned["runs"]] == [4] * 10
    assert {each["kind"] for each in learned["conclusions"]} == {"learning"}
    assert code_of(scenario, "-o", out, "--rerun", "all", "-k", "full-ft.*seed 0", "--no-figures") == 0
    assert {row["run_id"]: row for row in rows_of(out)}.keys() == {row["run_id"]: row for row in rows}.keys()


def test_more_seeds_are_trained_at_the_rate_that_the_first_chose(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario.write_text(SCENARIO.replace("seed: [0, 1]", "seed: 0\n  more_seeds: [1, 2]"))
    out = tmp_path / "out"
    assert code_of(scenario, "-o", out, "--dry-run") == 0
    assert capsys.readouterr().out.count("if best") == 5 * 2
    assert code_of(scenario, "-o", out, "-k", "lr 0.01 ", "--no-figures") == 0
    assert "more seeds" not in capsys.readouterr().err, "0.001 was not tried yet"
    assert code_of(scenario, "-o", out, "--no-figures") == 0
    assert "6 runs with more seeds, at the learning rates that are best so far" in capsys.readouterr().err
    for group in groups_of(read_learning(out)):
        of_seeds = {
            rate.learning_rate: [run.seed[0] for run in rate.finished if run.seed[0]] for rate in group.rates
        }
        assert of_seeds.pop(group.chosen.learning_rate) == [1, 2]
        assert not any(of_seeds.values())
    rows = rows_of(out)
    assert code_of(scenario, "-o", out, "--no-figures", "--at-once", "3") == 0
    assert rows_of(out) == rows


def test_at_once_so_many_runs_train(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=60)
    run_here = sweep.run_cell

    def run_with_another(*arguments: Any) -> CellResult:
        together.wait()
        return run_here(*arguments)

    monkeypatch.setattr(sweep, "run_cell", run_with_another)
    assert code_of(scenario, "-o", tmp_path / "out", "-k", "full-ft", "--at-once", 2, "--no-figures") == 0
    assert {row["message"] for row in rows_of(tmp_path / "out")} == {
        "2 runs trained at once: seconds are not those of one alone"
    }


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("task: {name: toy, data: data}", "", "toys.yaml:2: a scenario that learns has a task: block"),
        ("  learning_rate: [1e-2, 1e-3]\n", "", "toys.yaml:13: training: no learning rate for tiny-"),
        ("name: toy,", "name: tye,", "toys.yaml:12: task: unknown task 'tye'"),
        ("device: cpu", "device: sim:h100-80gb", "toys.yaml:11: device: learn: a twin has shapes and"),
        ("seq: 8", "seq: 8\npadding: 0.5", "toys.yaml:10: padding: learn: padding is what"),
        ("steps: 4", "steps: four", "toys.yaml:14: training.steps: it should be a whole number, not 'four'"),
        ("steps: 4", "stepps: 4", "toys.yaml:14: training.stepps: unknown key (did you mean 'steps'?)"),
        ("steps: 4", "steps: 4\n  epochs: 2", "toys.yaml:13: training: say how long to train by steps or by"),
        ("seed: [0, 1]", "seed: 1\n  more_seeds: [1]", "toys.yaml:13: training: seed 1 is in seed"),
        ("seed: [0, 1]", "seed: []", "training.seed: the list is empty: nothing to sweep"),
        ("rate: 1e-3", "rate: -1", "toys.yaml:7: method[1].learning_rate: it should be greater than"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_one_line_with_its_place(
    scenario: Path, before: str, after: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert before in SCENARIO
    scenario.write_text(SCENARIO.replace(before, after))
    assert code_of(scenario, "-o", scenario.parent / "out") == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert line in told[-1]
    assert not (scenario.parent / "out").exists()


def test_a_run_that_fails_is_told_and_the_code_is_1(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from learning import toy_task

    def fail(*_: Any, **__: Any) -> Any:
        raise toy_task.UsageError("the data has no split 'test'")

    monkeypatch.setattr(toy_task.ToyTask, "evaluate", fail)
    assert code_of(scenario, "-o", tmp_path / "out", "-k", "full-ft", "--max-failures", 1) == 1
    told = capsys.readouterr().err
    assert "full-ft b4 s8 lr 0.001 seed 0 draw 0: error: the data has no split 'test'" in told
    assert "1 run not trained, because of --max-failures" in told
    assert "1 run failed; --rerun failed tries again" in told


def test_data_starts_at_the_scenarios_file_and_that_of_the_command_line_here(
    scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lorafa_prof.scenario.load import load_scenario

    folder = str(scenario.parent / "data")
    assert load_scenario(scenario).scenario.task.data == folder  # type: ignore[union-attr]
    assert load_scenario(scenario, ["task.data=x"]).scenario.task.data == "x"  # type: ignore[union-attr]
    assert load_scenario(scenario, ["task.name=toys"]).scenario.task.data == folder  # type: ignore[union-attr]


@pytest.mark.parametrize(("written", "read"), [("who/set", "who/set"), ("./set", "{}/set"), ("", "")])
def test_a_hub_id_is_no_path(scenario: Path, written: str, read: str) -> None:
    from lorafa_prof.scenario.load import load_scenario

    scenario.write_text(SCENARIO.replace("data: data", f"data: '{written}'"))
    task = load_scenario(scenario).scenario.task
    assert task is not None
    assert task.data == read.format(scenario.parent)
