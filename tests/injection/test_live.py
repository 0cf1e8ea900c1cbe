"""What cells say while they run, and names of files and models: no terminal, figure or CSV obeys it."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.told_runs import SCENARIO
from injection.hostile import HOSTILE, HOSTILE_NAME, hostile, hostile_record, steering
from rich.console import Console
from rich.text import Text
from tiny_cells import tiny_cell
from told_verification import Told

from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.claims.reporters.annotations import workflow_commands
from lorafa_prof.claims.reporters.terminal import terminal
from lorafa_prof.cli.main import main
from lorafa_prof.cli.tables import print_table
from lorafa_prof.report.latex import latex_text
from lorafa_prof.report.published.explained import HEADER
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.spreadsheet import csv_text, from_text
from lorafa_prof.running import on_this_machine
from lorafa_prof.running.progress import SweepProgress
from lorafa_prof.verification import sweep as verification
from lorafa_prof.words.tables import aligned
from lorafa_prof.words.terminal import rendered

CONFIG = (
    '{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 100, '
    '"intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4}'
)
#: Without the colours that are ours.
OWN_COLOURS = tuple(f"\x1b[{code}m" for code in ("1", "2", "0", "32", "33", "1;31", "1;33"))


def ended(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.mark.parametrize("status", ["ok", "error", "oom"])
def test_run(here, monkeypatch, capsys, status):
    def cell(of: Any, log: Path, timeout_s: float | None, visible_gpus: str | None = None) -> CellResult:
        log.write_text(HOSTILE)
        return hostile_record(of, status, peak_allocated_bytes=2**20)

    monkeypatch.setattr(on_this_machine, "run_cell", cell)
    code = ended(["run", "s.yaml", "-o", f"out {HOSTILE_NAME}"])
    assert code == (1 if status == "error" else 0)
    told = capsys.readouterr()
    assert "evil" in told.err
    assert not steering(told.out + told.err)


def test_verify(here, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *args: "NVIDIA H100 80GB HBM3")
    told = Told()
    told.say["lora", "measured"] = {"status": "error", "message": hostile("message")}
    monkeypatch.setattr(verification, "run_cell", told.run_cell)
    assert ended(["verify", "s.yaml", "--no-gpu-trace"]) == 1
    said = capsys.readouterr()
    assert "evil" in said.err
    assert not steering(said.out + said.err)


def test_a_model_whose_folder_has_such_a_name(here, capsys, recwarn):
    folder = here / HOSTILE_NAME.replace("\n", "").replace("\r", "")
    folder.mkdir()
    (folder / "config.json").write_text(CONFIG)
    arguments = ["--set", f"model={json.dumps(str(folder))}", "--set", "method=full-ft", "-o", "out"]
    assert ended(["timeline", "s.yaml", "--device", "sim:h100-80gb", *arguments]) == 0
    assert ended(["run", "s.yaml", "--dry-run", *arguments]) == 0
    gpu = ["--gpu", "h100-80gb", "--method", "full-ft", "--batch", "1", "--seq", "8", "--jobs", "1"]
    assert ended(["fit", "--model", str(folder), *gpu]) == 0
    told = capsys.readouterr()
    assert "RED" in told.out
    assert not steering(told.out + told.err)
    assert not [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)]


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")


def test_a_table_on_a_terminal(monkeypatch, capsys):
    on_terminal(monkeypatch)
    print_table("title", ("name",), [(HOSTILE,)])
    out = capsys.readouterr().out
    assert "RED" in out
    assert "\x1b[31m" not in out
    assert not steering(out.replace("\x1b[1m", "").replace("\x1b[0m", ""))


def test_progress_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    cell = tiny_cell()
    with SweepProgress(1, console, {cell.cell_id: HOSTILE}) as progress:
        progress.cell_started(cell)
        progress.cell_ended(hostile_record(cell, "error"))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "RED" in written
    assert not {"\u202e", "\x9b", "\x9d", "\x07"} & set(written)
    assert "\x1b[31m" not in written


def test_what_rich_lays_out_steers_nothing_whoever_gave_it():
    text = rendered([Text(HOSTILE)], 40, coloured=True)
    assert "RED" in text
    assert not steering(text)


def test_judgements_on_a_terminal_and_to_github(tmp_path):
    item = Item(hostile("what"), "fail", hostile("word"), hostile("measured"), "1", hostile("note"))
    file = tmp_path / HOSTILE_NAME
    words = (hostile("word"), hostile("about"), hostile("source"))
    finding = Finding(hostile("name"), (item,), *words, str(file), 3)
    judgement = Judgement(hostile("title"), (finding,), 3, (hostile("note"),), machine=hostile("machine"))
    coloured = terminal([judgement], 80)
    for colour in OWN_COLOURS:
        coloured = coloured.replace(colour, "")
    assert not steering(coloured)
    commands = workflow_commands([judgement], tmp_path)
    assert not steering(commands)
    assert all(line.startswith(("::error file=", "::notice title=")) for line in commands.splitlines())


def test_tables_of_text_and_of_papers_whatever_made_them():
    lines = aligned([("name", "n"), (HOSTILE, "1"), ("x", "2")])
    assert not steering("\n".join(lines))
    assert len({len(line) for line in lines}) == 1
    assert not steering(latex_text(HOSTILE))


def test_no_csv_of_ours_has_a_formula_and_all_of_it_comes_back():
    texts = [HOSTILE, "+1", "-1", "@a", "\t=1", "\n=1", "\uff1d1", "'=1", "plain", ""]
    text = csv_text([HEADER, *([value, 1, -2, 0.5, None] for value in texts)])
    _, *rows = csv.reader(io.StringIO(text, newline=""))
    assert [from_text(row[0]) for row in rows] == texts
    assert not [row[0] for row in rows if row[0][:1] in tuple("=+-@\t\n\uff1d")]
    assert {tuple(row[1:]) for row in rows} == {("1", "-2", "0.5", "")}


def test_every_csv_is_written_by_the_one_writer():
    package = Path(sys.modules["lorafa_prof"].__path__[0])
    writers = [
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if any(way in file.read_text() for way in ("csv.writer(", "DictWriter(", ".to_csv("))
    ]
    assert writers == ["results/spreadsheet.py"]
