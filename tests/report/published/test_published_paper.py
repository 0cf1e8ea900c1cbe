"""reports/paper is a folder of published numbers, and its page says what its tables say."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lorafa_prof.report.published.folder import read_folder
from lorafa_prof.report.published.page import filled
from lorafa_prof.scenario.shipped import shipped_scenarios

FOLDER = Path(__file__).parents[3] / "reports" / "paper"
NAMES = sorted(name.removeprefix("paper/") for name in shipped_scenarios() if name.startswith("paper/"))
GB = 10**9
TEXT = (
    "<!-- summary -->\n<!-- end summary -->\n<!-- settings: llama-65b -->\n<!-- end settings: llama-65b -->\n"
)


def test_the_page_has_every_scenario_and_is_as_its_tables_make_it() -> None:
    folder = read_folder(FOLDER)
    assert sorted(folder.scenarios()) == NAMES
    again = "run python -m lorafa_prof.report.published reports/paper page"
    assert filled(folder) == folder.page_text(), again


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The predictions alone, as before anything was measured; the folder's name tells where scenarios are."""
    folder = tmp_path / "paper"
    shutil.copytree(FOLDER / "twin", folder / "twin", ignore=shutil.ignore_patterns("figures"))
    (folder / "README.md").write_text(TEXT)
    return folder


def edit(file: Path, change: Callable[[dict[str, str]], None]) -> None:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        change(row)
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_a_number_of_the_table_is_the_one_in_the_csv(copied: Path) -> None:
    file = copied / "twin" / "llama-65b" / "results.csv"

    def hold(row: dict[str, str]) -> None:
        held = {"all-linear": 9_870_000_000, "attention": 1_110_000_000}.get(row["targets"], 2_220_000_000)
        row["saved_bytes"] = str(held + 10**10 if row["method"] == "lora" else 10**10)

    edit(file, hold)
    text = filled(read_folder(copied))
    rows = [line for line in text.splitlines() if line.startswith("| on ")]
    kinds = ("adapters bf16", "adapters fp32, autocast bf16")
    assert rows == [
        row
        for targets, number, verdict in (
            ("all-linear", "9.87 GB ✓", "reproduced"),
            ("attention", "1.11 GB ✗", "not reproduced"),
            ("q_proj,v_proj", "2.22 GB ✗", "not reproduced"),
        )
        for row in (f"| on {targets}, {kind} | – | (1) {number} | {verdict} |" for kind in kinds)
    ]
    best = f"llama-65b, on all-linear, {kinds[0]}"
    assert f"| – | 9.87 GB ✓ | {best} | reproduced only under stated conditions |" in text


def test_what_was_measured_decides(copied: Path) -> None:
    twin = copied / "twin" / "llama-65b" / "results.csv"
    measured = copied / "h100" / "some-run" / "results.csv"
    measured.parent.mkdir(parents=True)
    shutil.copy(twin, measured)

    def less(row: dict[str, str]) -> None:
        row["device"] = "cuda"
        row["cell_id"] += "-measured"
        if row["method"] == "lora":
            row["saved_bytes"] = str(int(row["saved_bytes"]) // 2 + 6 * GB)

    edit(measured, less)
    text = filled(read_folder(copied))
    decided = [line.split("|")[2:5] for line in text.splitlines() if line.startswith("| on all-linear")]
    assert decided == 2 * [[" (1) 2.14 GB ✗ ", " (1) 3.15 GB ✓ ", " not reproduced "]]
