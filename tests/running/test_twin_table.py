"""The committed tables of GPUs: the twin of today predicts, byte for byte, what is in them.

They are of `lorafa-prof verify` on a GPU, for the scenarios that lie beside each; here their cells are built
again from these and predicted afresh, without a GPU.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.results.row import setting_columns
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.verification.processes import predict
from lorafa_prof.verification.residuals import METRICS, metrics_of
from lorafa_prof.verification.verify_csv import TABLE_NAME, VERIFY_COLUMNS

_REPORTS = Path(__file__).resolve().parents[2] / "reports"
FOLDERS = {
    "h100-80gb": (_REPORTS / "h100-verify",),
    "h200": (_REPORTS / "h200-families", _REPORTS / "h200-kernels"),
}
Row = dict[str, str]


def read_rows(table: Path) -> list[Row]:
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


ROWS = [
    row
    for folders in FOLDERS.values()
    for folder in folders
    for table in sorted(folder.rglob(TABLE_NAME))
    for row in read_rows(table)
]
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["cell_id"])


@cache
def cells_of(folders: tuple[Path, ...], gpu: str) -> dict[str, Cell]:
    """The cells of all scenarios in `folders`, as they run on this GPU, by id."""
    planned = (
        plan
        for folder in folders
        for file in sorted(folder.rglob("*.yaml"))
        for plan in expand(load_scenario(file), lambda device, _: ResolvedDevice("cuda", gpu))
    )
    return {plan.cell.cell_id: plan.cell for plan in planned}


def disagreements(row: Row, cell: Cell) -> list[str]:
    """Where a row and a fresh prediction of its cell differ, in words."""
    result = predict(cell.on_twin())
    found = []
    if result.row["status"] == "oom":
        told = {"predicted_failed_phase": str(result.row["failed_phase"])}
    else:
        assert result.row["status"] == "ok"
        metrics = metrics_of(result.details["memory"])
        told = {f"predicted_{name}": str(value) for name, value in metrics.items()}
        told["predicted_failed_phase"] = ""
        told["predicted_requests"] = str(result.details["requests"])
    if row["kernels"] == "packed" or row["quantization"] == "fp8":
        # The requests are the same; when Python functions let go of tensors hangs on releases: autograd after
        # 2.11 frees what a backward was given before what its forward saved, Python 3.12 differs from 3.11.
        del told["predicted_requests"]
    for name, value in told.items():
        if row[name] != value:
            found.append(f"{name}: {row[name] or 'nothing'} in the table, {value or 'nothing'} now")
    return found


def wrong_residuals(row: Row) -> list[str]:
    """Metrics whose residual is not predicted less measured, or is there without both."""
    found = []
    for name in METRICS:
        predicted, measured, residual = (
            row[f"{side}_{name}"] for side in ("predicted", "measured", "residual")
        )
        expected = str(int(predicted) - int(measured)) if predicted and measured else ""
        if residual != expected:
            found.append(name)
    return found


def test_the_tables_have_the_columns_of_today() -> None:
    assert {row["gpu"] for row in ROWS} == set(FOLDERS)
    assert all(tuple(row) == VERIFY_COLUMNS for row in ROWS)
    assert len({row["cell_id"] for row in ROWS}) == len(ROWS)


@each_row
def test_the_cell_is_that_of_a_scenario_beside_it(row: Row) -> None:
    cells = cells_of(FOLDERS[row["gpu"]], row["gpu"])
    assert row["cell_id"] in cells, "no *.yaml beside the table has this cell"
    cell = cells[row["cell_id"]]
    for name, value in setting_columns(cell).items():
        assert row[name] == ("" if value is None else str(value)), name


@each_row
def test_the_twin_predicts_what_is_in_the_table(row: Row) -> None:
    assert disagreements(row, cells_of(FOLDERS[row["gpu"]], row["gpu"])[row["cell_id"]]) == []


@each_row
def test_residuals_are_predicted_less_measured_and_status_says_so(row: Row) -> None:
    assert wrong_residuals(row) == []
    residuals = [int(row[f"residual_{name}"] or 0) for name in METRICS if "reserved" not in name]
    if row["status"] == "exact":
        assert residuals == [0] * len(residuals)
    assert row["status"] != "error"
    assert (row["status"] == "oom") == bool(row["predicted_failed_phase"] and row["measured_failed_phase"])
