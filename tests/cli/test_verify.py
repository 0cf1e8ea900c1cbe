"""`lorafa-prof verify` with processes that are told what to give."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from told_runs import SCENARIO
from told_verification import GIB, Told

from lorafa_prof.cli.main import main
from lorafa_prof.verification import sweep
from lorafa_prof.verification.verify_csv import VERIFY_COLUMNS

OUT = Path("out/verify-mine")


class Verifications(Told):
    """Calls `lorafa-prof verify s.yaml` as if there were an H100."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__()
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        self.asked.clear()
        with pytest.raises(SystemExit) as ended:
            main(["verify", "s.yaml", *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code


def an_h100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *args: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.fixture
def verify(tmp_path, monkeypatch, capsys) -> Verifications:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)
    an_h100(monkeypatch)
    made = Verifications(capsys)
    monkeypatch.setattr(sweep, "run_cell", made.run_cell)
    return made


def table() -> list[dict[str, str]]:
    with (OUT / "verify.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_exact(verify):
    assert verify("--no-gpu-trace") == 0
    lines = verify.out.splitlines()
    assert lines.pop(0).startswith("3 of 3 cells exact in allocated and requested; worst residual 0 bytes; ")
    assert lines[0] == "# predicted less measured, bytes"
    assert [line.split("  ")[0] for line in lines[2:5]] == [
        "tiny-llama full-ft b1 s8",
        "tiny-llama lora r2 b1 s8",
        "tiny-llama lora r4 b1 s8",
    ]
    assert len(lines) == 5
    assert "[3/3]" in verify.err
    assert verify.asked[:2] == [("full-ft", "measured"), ("full-ft", "predicted")]
    rows = table()
    assert tuple(rows[0]) == VERIFY_COLUMNS
    assert {(row["status"], row["device"], row["gpu"]) for row in rows} == {("exact", "cuda", "h100-80gb")}


def test_json_has_what_the_table_of_the_folder_has(verify):
    assert verify("--no-gpu-trace", "--json") == 0
    told = json.loads(verify.out)
    assert told["summary"] in verify.err
    assert [row["cell_id"] for row in told["rows"]] == [row["cell_id"] for row in table()]
    assert tuple(told["rows"][0]) == VERIFY_COLUMNS
    assert told["rows"][0]["residual_peak_allocated_bytes"] == 0


def test_a_twin_that_is_wrong_ends_with_3(verify):
    verify.say["full-ft", "predicted"] = {"peak": GIB + 2048}
    assert verify("--no-gpu-trace") == 3
    assert "2 of 3 cells exact" in verify.out
    assert "+2,048" in verify.out
    assert [row["status"] for row in table()] == ["differs", "exact", "exact"]
    assert table()[0]["residual_peak_allocated_bytes"] == "2048"


def test_a_cell_that_fails_ends_with_1(verify):
    verify.say["lora", "measured"] = {"status": "error", "message": "boom"}
    assert verify() == 1
    assert "boom" in verify.err
    assert [row["status"] for row in table()] == ["exact", "error", "error"]


def test_out_of_memory_on_both_is_agreement_and_on_one_is_not(verify):
    oom = {"status": "oom", "failed_phase": "forward", "message": "CUDA out of memory."}
    verify.say["lora", "measured"] = verify.say["lora", "predicted"] = oom
    assert verify() == 0
    assert "1 of 3 cells exact in allocated and requested; 2 out of memory on both sides" in verify.out
    del verify.say["lora", "predicted"]
    assert verify("--rerun", "all") == 3
    assert [row["status"] for row in table()] == ["exact", "oom-measured", "oom-measured"]
    assert table()[1]["measured_failed_phase"] == "forward"


def test_it_goes_on_where_it_stopped(verify):
    assert verify("-k", "full", "--no-gpu-trace") == 0
    assert len(table()) == 1
    assert verify("--no-gpu-trace") == 0
    assert {method for method, _ in verify.asked} == {"lora"}
    assert "1 of 3 cells are verified already" in verify.err
    assert verify("--no-gpu-trace") == 0
    assert verify.asked == []
    assert len(table()) == 3
    assert verify("--no-gpu-trace", "--rerun", "all") == 0
    assert len(verify.asked) == 6


def test_what_was_verified_outlives_an_interruption(verify):
    verify.say["lora", "measured"] = KeyboardInterrupt()
    assert verify() == 130
    assert [row["method"] for row in table()] == ["full-ft"]
    assert len(json.loads((OUT / "provenance.json").read_text())["cells"]) == 1


def test_failed_cells_are_done_again(verify):
    verify.say["lora", "predicted"] = {"status": "timeout", "message": "late"}
    assert verify() == 1
    verify.say.clear()
    assert verify() == 1, "a kept failure is still one"
    assert verify("--rerun", "failed") == 0
    assert {method for method, _ in verify.asked} == {"lora"}


def test_predicting_again_needs_no_gpu(verify, monkeypatch):
    verify.say["full-ft", "predicted"] = {"peak": GIB + 2048}
    assert verify("--no-gpu-trace") == 3
    verify.say.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert verify("--rerun", "twin") == 0
    assert {part for _, part in verify.asked} == {"predicted"}
    assert {row["status"] for row in table()} == {"exact"}


def test_predicting_again_what_was_never_measured_is_nothing_to_judge(verify):
    assert verify("--rerun", "twin") == 4
    assert "no cell has a record" in verify.err


def test_where_it_comes_from(verify):
    verify("--set", "batch=2", "--no-gpu-trace")
    provenance: dict[str, Any] = json.loads((OUT / "provenance.json").read_text())
    assert provenance["command"][:3] == ["lorafa-prof", "verify", "s.yaml"]
    assert provenance["scenario"]["batch"] == [2]
    assert {one["device"] for one in provenance["environments"]} == {"cuda", "sim:h100-80gb"}
    assert [row["cell_id"] for row in table()] == provenance["cells"]


def test_several_scenarios_go_into_one_table(verify):
    verify("--no-gpu-trace", "-k", "full")
    assert "note: " not in verify.err
    verify.say["lora", "predicted"] = {"peak": GIB + 2048}
    assert verify("--no-gpu-trace", "--set", "batch=2", "-k", "full") == 0
    assert "has 1 cell of other scenarios or settings too" in verify.err
    assert [row["batch"] for row in table()] == ["2", "1"]
    assert "1 of 1 cells exact" in verify.out, "what is told is of this scenario"
    assert len(json.loads((OUT / "provenance.json").read_text())["cells"]) == 2


@pytest.mark.parametrize("arguments", [[], ["-k", "full"], ["--rerun", "all"]])
def test_without_a_gpu_it_is_one_line(verify, monkeypatch, arguments):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert verify(*arguments) == 2
    assert verify.err == "lorafa-prof: verify needs a CUDA GPU; it compares the twin with it\n"
    assert not Path("out").exists()


@pytest.mark.parametrize("arguments", [["-k", "nothing"], ["--set", "batch=x"], ["--timeout", "0"]])
def test_wrong_usage(verify, arguments):
    assert verify(*arguments) == 2
    assert verify.asked == []


def test_help_shows_it(verify, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "verify" in capsys.readouterr().out
