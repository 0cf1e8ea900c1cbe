from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lorafa_prof.cli import main as main_module
from lorafa_prof.cli.main import main
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.results.store import Store
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method:
  - {name: lora, rank: [2, 4]}
  - {name: lora-fa, rank: 2}
batch: 1
seq: 8
device: sim:h100-80gb
steps: {warmup: 3, timed: 1}
"""


class Command:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["explain", *arguments, "--jobs", "1"])
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture
def explain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(main_module.COMMANDS, "explain", ("lorafa_prof.cli.explain", "explain_command"))
    Path("s.yaml").write_text(SCENARIO)
    return Command(capsys)


@pytest.fixture
def out(explain: Command) -> Path:
    """Results of the scenario, which takes the command's folder."""
    store = Store(Path("results"))
    store.prepare()
    cells = [plan.cell for plan in expand(load_scenario(Path("s.yaml")), resolve_device)]
    results = {cell.cell_id: measure_cell(cell) for cell in cells}
    for result in results.values():
        store.save(result)
    store.write_table(list(results), results)
    return store.out


def test_a_scenario_is_explained_without_running_it(explain: Command) -> None:
    assert explain("s.yaml", "--cell", "lora-fa", "--no-what-if") == 0
    assert explain.out.startswith("tiny-llama lora-fa r2 b1 s8\npredicted on the twin of h100-80gb\n")
    assert "What would save" not in explain.out
    assert "0 B   0.0 %  │  │  └─ unexplained\n" in explain.out
    assert explain.err == "[1/1] tiny-llama lora-fa r2 b1 s8\n"
    assert not Path("out").exists()


def test_of_several_that_match_the_first_is_taken(explain: Command) -> None:
    assert explain("s.yaml", "-k", "lora r", "--no-what-if", "--depth", "1") == 0
    assert explain.out.startswith("tiny-llama lora r2 b1 s8\n")
    note = explain.err.splitlines()[0]
    assert note.startswith("note: 2 cells match, the first is taken; --cell REGEX chooses: ")
    assert note.endswith("'tiny-llama lora r2 b1 s8', 'tiny-llama lora r4 b1 s8'")


def test_remedies_are_tried_unless_two_cells_are_compared(explain: Command) -> None:
    assert explain("s.yaml", "-k", "lora-fa", "--depth", "1") == 0
    assert "checkpointing: full: keep only what goes into each layer" in explain.out
    assert explain("s.yaml", "-k", "lora-fa", "--against", "lora r2") == 0
    assert explain.out.startswith("A  tiny-llama lora-fa r2 b1 s8\n")
    assert "\nB  tiny-llama lora r2 b1 s8\n" in explain.out
    assert "less for backward than B" in explain.out
    assert len(explain.err.splitlines()) == 2


def test_results_are_explained_as_they_are(explain: Command, out: Path) -> None:
    assert explain(str(out), "-k", "lora r4", "--no-what-if", "--json", "-") == 0
    (cell,) = json.loads(explain.out)["cells"]
    assert cell["label"] == "tiny-llama lora r4 b1 s8"
    row: Any = Store(out).load(cell["cell_id"]).row  # type: ignore[union-attr]
    for name, column in (("peak", "peak_allocated_bytes"), ("activation", "activation_bytes")):
        told = cell[name]
        assert told["total_bytes"] == row[column]
        assert told["unexplained_bytes"] == 0
        assert sum(piece["bytes"] for piece in told["pieces"]) + told["rounding_bytes"] == row[column]
    assert cell["peak_reserved_bytes"] == row["peak_reserved_bytes"]
    assert cell["tree"]["branches"][0]["nbytes"] == row["peak_reserved_bytes"]
    needs = [need for piece in cell["activation"]["pieces"] for need in piece["needs"]]
    assert {"LoraFunction", "Silu"} <= {need["op"] for need in needs}
    assert explain("results", "--set", "batch=2") == 2
    assert explain.err.endswith("results are explained as they are: without --set, --device and axes\n")


def test_json_of_two_cells_and_of_remedies(explain: Command) -> None:
    assert explain("s.yaml", "-k", "lora-fa", "--against", "lora r2", "--what-if", "--json", "x.json") == 0
    told = json.loads(Path("x.json").read_text())
    one, other = told["cells"]
    for name in ("peak", "activation"):
        delta = sum(each["bytes"] for each in told["differences"][name])
        rounding = one[name]["rounding_bytes"] - other[name]["rounding_bytes"]
        assert delta + rounding == one[name]["total_bytes"] - other[name]["total_bytes"]
    freezing = next(each for each in other["what_if"] if each["change"] == "method: lora-fa")
    assert freezing["peak_allocated_bytes"] == one["peak"]["total_bytes"]
    assert freezing["peak_saved_bytes"] == other["peak"]["total_bytes"] - one["peak"]["total_bytes"]
    saved = other["activation"]["total_bytes"] - one["activation"]["total_bytes"]
    assert freezing["activation_saved_bytes"] == saved
    assert freezing["fits"]
    assert explain.out.startswith("A  ")


def test_overrides_and_devices(explain: Command) -> None:
    assert explain("s.yaml", "-k", "lora-fa", "--set", "batch=2", "--no-what-if", "--depth", "1") == 0
    assert explain.out.startswith("tiny-llama lora-fa r2 b2 s8\n")
    assert (
        explain("s.yaml", "-k", "lora-fa", "--device", "sim:a100-40gb", "--no-what-if", "--depth", "1") == 0
    )
    assert "predicted on the twin of a100-40gb" in explain.out


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_any_device_of_a_scenario_is_its_twin(explain: Command, device: str) -> None:
    Path("s.yaml").write_text(SCENARIO.replace("sim:h100-80gb", f"{device}\ngpu: a100-40gb"))
    assert explain("s.yaml", "-k", "lora-fa", "--no-what-if", "--depth", "1") == 0
    assert "predicted on the twin of a100-40gb" in explain.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("s.yaml", "-k", "nothing"), 2, "--cell nothing: no cell matches; there are 'tiny-llama lora r2"),
        (("s.yaml", "-k", "("), 2, "--cell (: this is no regular expression"),
        (("s.yaml", "-k", "lora-fa", "--against", "lora-fa"), 2, "--against lora-fa: no cell matches"),
        (("nowhere",), 2, "no such file, and no shipped scenario of that name"),
        (("s.yaml", "--device", "sim:h10"), 2, "unknown GPU 'h10'"),
        (("s.yaml", "--set", "batch=0"), 2, "--set batch=0"),
        (("s.yaml", "-k", "r400", "--set", "method[0].rank=400"), 2, "method[0].rank: rank 400 is larger"),
        (("empty",), 4, "holds no results.csv"),
    ],
)
def test_what_is_wrong_is_one_line(
    explain: Command, arguments: tuple[str, ...], code: int, told: str
) -> None:
    Path("empty").mkdir()
    assert explain(*arguments) == code
    assert explain.out == ""
    last = explain.err.splitlines()[-1]
    assert last.startswith("lorafa-prof: ")
    assert told in last
    assert "Traceback" not in explain.err


def test_a_half_written_cell_is_told_with_what_there_is(explain: Command, out: Path) -> None:
    file = next(file for file in (out / "cells").iterdir() if "lora-fa" in file.name)
    file.write_text(file.read_text()[:5000])
    assert explain(str(out), "-k", "lora-fa") == 0
    assert "weights" in explain.out
    assert f"note: {file}: this record is damaged or of another version of lorafa-prof" in explain.out


def test_predictions_run_in_processes(explain: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "s.yaml", "-k", "lora-fa", "--depth", "1", "--jobs", "2"])
    assert ended.value.code == 0
    assert "checkpointing: full" in capsys.readouterr().out


def test_help_names_it_and_loads_nothing() -> None:
    code = (
        "import sys, lorafa_prof.cli.explain; "
        "print(sorted({'pandas', 'matplotlib', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["s.yaml", "--device", "cpu"], "--device cpu: a scenario is explained on a twin"),
        (["s.yaml", "--json", "out"], "--json: 'out' is no file; name one"),
        (["out/results.csv"], "out/results.csv: give the folder of the results, 'out'"),
        (["s.yaml", "-k", "", "--against", "", "--set", "method=lora"], "there is only one cell"),
    ],
)
def test_what_would_come_to_nothing_is_told_before_anything_is_predicted(
    arguments: list[str], message: str, explain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out").mkdir()
    Path("out/results.csv").write_text("cell_id\n")
    monkeypatch.setattr(
        "lorafa_prof.explaining.explain_cells.explain_cells", lambda *a, **k: pytest.fail("predicted")
    )
    assert explain(*arguments) == 2
    assert message in explain.err
