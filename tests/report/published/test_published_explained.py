"""Every measured cell of a folder explained, and the command that does all there is to do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from published_folders import MB, NAME, add_run, cells_of_mine, folder_of_mine

from lorafa_prof.explaining.predicted_step import predicted_step
from lorafa_prof.report.published import __main__ as command_line
from lorafa_prof.report.published import explained
from lorafa_prof.report.published.explained import write_explained
from lorafa_prof.report.published.folder import read_folder
from lorafa_prof.results.table import read_table, write_table
from lorafa_prof.scenario.load import load_scenario


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of_mine(tmp_path)


def test_what_a_twin_leaves_unexplained_is_in_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explained, "available_cores", lambda: 1)
    cell = cells_of_mine(folder, "cuda")[0]
    step = predicted_step(cell.on_twin())
    run = add_run(folder, "gpu/some-run", "cuda", lambda method, seq: MB if method == "lora" else None)
    add_run(folder, "twin/some-run", "sim:a100-40gb", lambda method, seq: MB)
    rows = read_table(run).astype(object).to_dict("records")
    rows[0] |= {
        "peak_allocated_bytes": step.peak.total_bytes + 512,
        "activation_bytes": step.activation.total_bytes,
        "peak_reserved_bytes": step.peak_reserved_bytes + 1024,
    }
    rows[1]["status"] = "oom"
    write_table(rows, run / "results.csv")
    scenario = load_scenario(folder / f"{NAME}.yaml").scenario.model_dump(mode="json", by_alias=True)
    (run / "provenance.json").write_text(json.dumps({"scenario": scenario, "environments": [{}]}))

    said = list(write_explained(read_folder(folder)))

    assert said == ["2 cells, 1 of them measured to the end: 0 explained to the byte"]
    with (folder / "explained.csv").open(newline="") as file:
        finished, out_of_memory = csv.DictReader(file)
    assert finished == {
        "run": "some-run",
        "cell_id": cell.cell_id,
        "label": finished["label"],
        "status": "ok",
        "peak_allocated_bytes": str(step.peak.total_bytes + 512),
        "unexplained_of_peak_bytes": "512",
        "activation_bytes": str(step.activation.total_bytes),
        "unexplained_of_activation_bytes": "0",
        "peak_reserved_bytes": str(step.peak_reserved_bytes + 1024),
        "predicted_peak_reserved_bytes": str(step.peak_reserved_bytes),
    }
    assert out_of_memory["status"] == "oom"
    assert not out_of_memory["peak_allocated_bytes"]


def test_predictions_alone_explain_nothing(folder: Path) -> None:
    add_run(folder, "twin/some-run", "sim:a100-40gb", lambda method, seq: MB)
    assert list(write_explained(read_folder(folder))) == ["explained.csv: not written, nothing was measured"]
    assert not (folder / "explained.csv").exists()


def test_the_command_does_all_or_what_is_asked_for(folder: Path) -> None:
    add_run(folder, "twin/some-run", "sim:a100-40gb", lambda method, seq: MB)
    result = CliRunner().invoke(command_line.command, [str(folder), "picture"], catch_exceptions=False)
    assert (result.exit_code, len(result.output.splitlines())) == (0, 2)
    assert "an older table" in (folder / "README.md").read_text()
    (folder / "published.png").unlink()
    result = CliRunner().invoke(command_line.command, [str(folder)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "an older table" not in (folder / "README.md").read_text()
    assert (folder / "published.png").is_file()
    assert "memory-by-method: not drawn" in result.output
    assert "nothing was measured" in result.output


def test_an_unknown_step_is_wrong_usage(folder: Path) -> None:
    assert CliRunner().invoke(command_line.command, [str(folder), "pages"]).exit_code == 2
