"""What `lorafa-prof run` does with its options and with what comes of the cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from told_runs import LABELS, SCENARIO, provenance, table

from lorafa_prof.running import on_this_machine


def test_the_results_are_in_out(run):
    assert run() == 0
    assert run.labels == LABELS
    assert sorted(path.name for path in Path("out/mine").iterdir()) == [
        "cells",
        "figures",
        "logs",
        "provenance.json",
        "results.csv",
    ]
    ids = [cell.cell_id for cell in run.measured]
    assert [row["cell_id"] for row in table()] == ids
    assert sorted(path.stem for path in Path("out/mine/cells").iterdir()) == sorted(ids)
    assert provenance()["cells"] == ids
    assert provenance()["command"] == ["lorafa-prof", "run", "s.yaml"]
    assert provenance()["environments"] == [json.loads(json.dumps(run.environment))]


def test_data_go_to_stdout_and_the_rest_to_stderr(run):
    run()
    lines = run.out.splitlines()
    assert lines[0] == "# results"
    assert lines[1].split()[:3] == ["method", "rank", "status"]
    assert [line.split()[:3] for line in lines[2:]] == [
        ["full-ft", "-", "ok"],
        ["lora", "2", "ok"],
        ["lora", "4", "ok"],
    ]
    assert [line[:5] for line in run.err.splitlines()[:3]] == ["[1/3]", "[2/3]", "[3/3]"]
    assert run.err.index("\nin short\n- ") < run.err.index("\nall cells: tiny-llama, ")
    assert "results: out/mine/results.csv" in run.err.splitlines()
    assert "\x1b" not in run.out + run.err


def test_what_was_found_is_told_before_the_table_with_what_to_look_at_next(run):
    run.status = {LABELS[2]: "oom"}
    run("--no-figures")
    said = run.err.split("\nin short\n")[1].split("\n\n")[0].splitlines()
    assert said == [
        "- LoRA holds as much as full fine-tuning for backward (1.000 MiB and 1.000 MiB). Its peak is the "
        "same (2.000 MiB and 2.000 MiB). A step takes about as long (1.5 ms and 1.5 ms). This is at rank 2, "
        "batch 1, seq 8.",
        "- 1 of 3 cells ran out of memory on the cpu: LoRA (rank 4).",
        "- To see a page of all this:",
        "  lorafa-prof report out/mine",
    ]


def test_json_on_stdout_is_alone_there_and_has_every_row(run):
    run("--no-figures", "--json")
    told = json.loads(run.out)
    assert [row["cell_id"] for row in told["rows"]] == [cell.cell_id for cell in run.measured]
    assert (told["rows"][0]["activation_bytes"], told["rows"][0]["tokens_per_s"]) == (2**20, None)
    assert [each["text"] in run.err for each in told["conclusions"]] == [True] * len(told["conclusions"])
    assert "# results" in run.err
    run("--no-figures", "--json", "deep/all.json")
    assert json.loads(Path("deep/all.json").read_text()) == told
    assert run.out.startswith("# results")
    run("--dry-run", "--json")
    assert [cell["status"] for cell in json.loads(run.out)["cells"]] == ["ok"] * 3


def test_json_never_takes_the_place_of_a_scenario(run):
    assert run("--json", "s.yaml") == 2
    assert "this would write over a scenario" in run.err
    assert Path("s.yaml").read_text() == SCENARIO


def test_figures_are_drawn_at_the_end_unless_told_not_to(run):
    run("--no-figures")
    assert not Path("out/mine/figures").exists()
    run()
    assert Path("out/mine/figures/memory-by-method.png").stat().st_size > 1000
    assert Path("out/mine/figures/memory-by-method.pdf").exists()
    assert "figures: " in run.err


def test_a_second_run_measures_nothing(run):
    run("--no-figures")
    before = table()
    assert run("--no-figures") == 0
    assert run.measured == []
    assert run.err.splitlines()[0] == "3 of 3 cells are measured already"
    assert table() == before
    assert len(run.out.splitlines()) == 5


@pytest.mark.parametrize(
    ("status", "code"), [("ok", 0), ("oom", 0), ("error", 1), ("timeout", 1), ("skipped", 1)]
)
def test_a_cell_that_fails_is_exit_code_1_and_out_of_memory_is_a_result(run, status, code):
    run.status[LABELS[1]] = status
    assert run("--no-figures") == code
    assert run.labels == LABELS, "the rest go on"
    assert [row["status"] for row in table()] == ["ok", status, "ok"]
    assert table()[1]["activation_bytes"] == ("1048576" if status == "ok" else "")
    if code:
        assert f"{LABELS[1]}: {status}: told to give {status}\n1 cell failed; --rerun failed" in run.err
    # And so it stays, without measuring.
    assert run("--no-figures") == code
    assert run.measured == []


@pytest.mark.parametrize(
    ("rerun", "labels"), [("missing", []), ("failed", [LABELS[0], LABELS[2]]), ("all", LABELS)]
)
def test_rerun(run, rerun, labels):
    run.status = {LABELS[0]: "error", LABELS[1]: "oom", LABELS[2]: "timeout"}
    run("--no-figures")
    run.status = {}
    run("--no-figures", "--rerun", rerun)
    assert run.labels == labels
    assert [row["status"] for row in table()] == {
        "missing": ["error", "oom", "timeout"],
        "failed": ["ok", "oom", "ok"],
        "all": ["ok", "ok", "ok"],
    }[rerun]


def test_a_part_of_the_cells_and_then_the_rest_in_the_scenarios_order(run):
    assert run("--no-figures", "-k", "lora r4") == 0
    assert run.labels == LABELS[2:]
    assert len(run.out.splitlines()) == 3
    ids = [row["cell_id"] for row in table()]
    assert run("--no-figures", "-k", "full") == 0
    assert run.labels == LABELS[:1]
    assert [row["method"] for row in table()] == ["full-ft", "lora"]
    assert len(provenance()["cells"]) == 2, "the table's, not only this run's"
    run("--no-figures")
    assert run.labels == LABELS[1:2]
    assert [row["rank"] for row in table()] == ["", "2", "4"]
    assert run("--no-figures", "-k", ids[0], "--rerun", "all") == 0
    assert run.labels == LABELS[2:]


def test_the_exit_code_is_of_the_cells_that_were_asked_for(run):
    run.status = {LABELS[0]: "error"}
    run("--no-figures")
    assert run("--no-figures", "-k", "lora") == 0


def test_an_interrupted_run_keeps_what_it_has_and_goes_on_from_there(run):
    run.status = {LABELS[1]: KeyboardInterrupt()}
    assert run() == 130
    assert [row["method"] for row in table()] == ["full-ft"]
    assert len(provenance()["cells"]) == 1
    assert not Path("out/mine/figures").exists()
    assert run.out.strip() == ""
    said = [line for line in run.err.splitlines() if line]
    assert said[0].startswith("[1/3]")
    assert said[1:] == [
        "what was measured is kept; the same command goes on from there",
        "lorafa-prof: interrupted",
    ]
    run.status = {}
    assert run("--no-figures") == 0
    assert run.labels == LABELS[1:]
    assert len(table()) == 3


def test_a_dry_run_measures_and_writes_nothing(run):
    assert run("--dry-run") == 0
    assert run.measured == []
    assert sorted(path.name for path in Path().iterdir()) == ["s.yaml"]
    lines = run.out.splitlines()
    assert [line.split(maxsplit=2)[1:] for line in lines[2:]] == [["-", label] for label in LABELS]
    run("--no-figures", "-k", "r2")
    written = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    assert run("--dry-run", "--rerun", "all") == 0
    assert [line.split()[1] for line in run.out.splitlines()[2:]] == ["-", "ok", "-"]
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == written
    assert run("--dry-run", "-k", "r2") == 0
    assert len(run.out.splitlines()) == 3


def test_options_override_the_file(run):
    Path("s.yaml").write_text(SCENARIO.replace("device: cpu", "device: cuda"))
    arguments = [
        "--device",
        "cpu",
        "--set",
        "batch=[2, 3]",
        "--set",
        "method[1].rank=8",
        "--set",
        "steps.timed=4",
    ]
    assert run("--no-figures", *arguments, "-o", "elsewhere") == 0
    assert run.labels == [f"tiny-llama {m} b{b} s8" for m in ("full-ft", "lora r8") for b in (2, 3)]
    assert {(cell.device, cell.steps.timed) for cell in run.measured} == {("cpu", 4)}
    assert len(table("elsewhere")) == 4
    assert not Path("out").exists()
    scenario = provenance("elsewhere")["scenario"]
    assert (scenario["device"], scenario["batch"], scenario["steps"]["timed"]) == (["cpu"], [2, 3], 4)
    assert provenance("elsewhere")["command"][1:] == [
        "run",
        "s.yaml",
        "--no-figures",
        *arguments,
        "-o",
        "elsewhere",
    ]


def test_a_shipped_scenario_is_run_by_its_name(run):
    assert run("--no-figures", "--device", "sim:h100-80gb", "-k", "full-ft_b2_s512", name="quickstart") == 0
    assert {row["model"] for row in table("out/quickstart")} == {"llama-2-7b"}


def test_a_disk_that_is_full_ends_the_run_in_one_line(run, monkeypatch):
    from lorafa_prof.results import store

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_atomically", full)
    assert run("--no-figures") == 2
    assert run.err.splitlines()[-1] == (
        "lorafa-prof: cannot write to 'out/mine': No space left on device; choose another with -o"
    )
    assert len(run.measured) == 1


def test_cells_that_share_a_label_are_told_apart(run):
    assert run("--no-figures", "--set", "attention=[sdpa, eager]", "-k", "r2.*attention=eager") == 0
    assert [cell.attention for cell in run.measured] == ["eager"]
    assert run.err.startswith("[1/1] tiny-llama lora r2 b1 s8 attention=eager: peak 2.000 MiB")


def test_after_so_many_failures_no_other_cell_starts(run):
    run.status = {LABELS[0]: "error"}
    assert run("--no-figures", "--max-failures", "1") == 1
    assert run.labels == LABELS[:1]
    assert "2 cells not run, because of --max-failures 1\n" in run.err
    assert [row["status"] for row in table()] == ["error"]
    run.status = {}
    assert run("--no-figures", "--max-failures", "1") == 1, "the one that failed before is kept"
    assert run.labels == LABELS[1:]


def test_a_second_run_in_one_folder_is_one_line(run):
    from lorafa_prof.results.lock import locked

    Path("out/mine").mkdir(parents=True)
    with locked(Path("out/mine"), ["run", "theirs.yaml"]):
        assert run() == 2
    assert run.measured == []
    assert len(run.err.splitlines()) == 1
    assert "out/mine: another run writes here: process" in run.err
    assert run("--no-figures") == 0


def test_marked_rows_are_marked_in_the_table_and_a_line_says_what_that_means(run, monkeypatch):
    def marked(cell, log, timeout_s, visible_gpus=None):
        result = run.cell(cell, log, timeout_s)
        marks = {"unsteady": "unsteady times: ..."} if cell.label == LABELS[1] else {}
        return result.model_copy(update={"details": {"marks": marks}})

    run("--no-figures")
    assert "marks" not in run.out + run.err
    monkeypatch.setattr(on_this_machine, "run_cell", marked)
    for arguments in (("--rerun", "all"), ()):  # a kept row too
        run("--no-figures", *arguments)
        header, *rows = (line.split() for line in run.out.splitlines()[1:])
        assert [row[header.index("marks")] for row in rows] == ["-", "unsteady", "-"]
        assert "marks of rows that are worth less than others: unsteady: unsteady samples" in run.err
        assert [row["marks"] for row in table()] == ["", "unsteady", ""]


def test_types_that_the_gpu_lacks_are_said_before_anything_runs(run):
    run("--no-figures", "--device", "sim:t4", "--set", "dtype=bf16")
    lacks = "t4 does not compute in bf16 (compute capability 7.5), PyTorch emulates it there; "
    assert run.err.splitlines()[:2] == [
        f"note: dtype 'bf16': {lacks}fp16 and fp32 are what it has",
        f"note: dtype 'bf16' and adapter_dtype 'bf16': {lacks}fp16 and fp32 are what it has",
    ]
    assert run.err.splitlines()[2].startswith("[1/3]")
