"""The claims of scenarios/paper judged on the results of this folder, in rows of equal settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lorafa_prof.cell import Cell
from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.finding import Item, State, worst
from lorafa_prof.claims.gate import Gate, gate_of
from lorafa_prof.claims.judge import judge_claims
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.table import TABLE_NAME, read_table
from lorafa_prof.scenario.claim import Claim
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import shipped_scenarios

By = Literal["measured", "predicted"]
#: The folders of results: those of the GPUs that measured, by their name in the catalogue, and of the twin.
FOLDERS: Mapping[By, tuple[str, ...]] = {"measured": ("h100", "h200"), "predicted": ("twin",)}

#: Whose code a method is: LoRA and LoRA-FA by the same are compared, so they share a row.
VARIANTS = {
    "full-ft": "",
    "lora": "lorafa-prof's",
    "lora-fa": "lorafa-prof's",
    "peft-lora": "PEFT's",
    "peft-lora-fa": "PEFT's",
    "peft-lora-fa-after-eval": "PEFT's, after an evaluation",
}
#: What tells one row from another, in the order in which it is told, and the word before it.
TOLD = {
    "model": "",
    "variant": "",
    "rank": "rank ",
    "targets": "on ",
    "dropout": "dropout ",
    "dtype": "base ",
    "adapter_dtype": "adapters ",
    "shape": "",
    "attention": "",
    "gpu": "",
}

Settings = tuple[Value, ...]
Tables = Mapping[Settings, Mapping[str, Value]]


@dataclass(frozen=True)
class Judged:
    """A number of a claim, by each of the two; None where the cell was not run there."""

    check: Check
    measured: Item | None
    predicted: Item | None

    def by(self, by: By) -> Item | None:
        """What came of it, measured or predicted."""
        return self.measured if by == "measured" else self.predicted

    @property
    def state(self) -> State:
        """The measurement's, unless it cannot be judged; else the prediction's."""
        items = [item for item in (self.measured, self.predicted) if item is not None]
        return next((item.state for item in items if item.state != "unknown"), "unknown")


@dataclass
class Row:
    """All that is claimed of one combination of settings, by the claim's index."""

    settings: dict[str, str]
    claims: dict[int, list[Judged]] = field(default_factory=dict)

    def state(self, index: int) -> State:
        """The worst that came of this claim here."""
        return worst(judged.state for judged in self.claims[index])

    @property
    def states(self) -> list[State]:
        """Of every claim that says something here."""
        return [self.state(index) for index in self.claims]


@dataclass(frozen=True)
class Experiment:
    """The claims of a scenario and the rows they were judged in."""

    claims: tuple[Claim, ...]
    rows: tuple[Row, ...]

    @property
    def varying(self) -> list[str]:
        """The settings in which rows differ, by the keys of `TOLD`."""
        return [key for key in TOLD if len({row.settings[key] for row in self.rows}) > 1]


def experiment(name: str, folder: Path) -> Experiment:
    """Judge the claims of the shipped scenario paper/`name` on the results below `folder`."""
    gate = gate_of(load_scenario(shipped_scenarios()[f"paper/{name}"]), None)
    measured, predicted = _tables(folder, "measured", name), _tables(folder, "predicted", name)
    rows: dict[tuple[str, ...], Row] = {}
    for check in gate.checks:
        settings = _settings(check.cell)
        row = rows.setdefault(tuple(settings.values()), Row(settings))
        both = Judged(check, _judged(gate, check, measured), _judged(gate, check, predicted))
        row.claims.setdefault(check.index, []).append(both)
    return Experiment(tuple(gate.loaded.scenario.claims), tuple(rows.values()))


def measured_rows(name: str, folder: Path) -> tuple[list[Mapping[str, Value]], int]:
    """The measured rows of the cells of paper/`name`, in its order, and how many of its cells have none."""
    gate = gate_of(load_scenario(shipped_scenarios()[f"paper/{name}"]), None)
    tables = _tables(folder, "measured", name)
    cells = [plan.cell for plan in gate.planned]
    found = [tables.get(_key(setting_columns(cell))) for cell in cells]
    rows = [row for row in found if row is not None]
    return rows, len(cells) - len(rows)


def _tables(folder: Path, by: By, name: str) -> Tables:
    """Rows of all results below `folder` by their settings; of equal ones that of the scenario itself."""
    import pandas as pd

    files = [file for place in FOLDERS[by] for file in sorted(folder.glob(f"{place}/*/{TABLE_NAME}"))]
    files.sort(key=lambda file: file.parent.name == name)
    found: dict[Settings, Mapping[str, Value]] = {}
    for file in files:
        for record in read_table(file.parent).astype(object).to_dict("records"):
            row = {str(key): None if value is pd.NA else value for key, value in record.items()}
            found[_key(row)] = row
    return found


def _key(row: Mapping[str, Value]) -> Settings:
    """Everything that a cell is set to, its GPU included, be it measured or predicted."""
    names = [column.name for column in COLUMNS if column.group == "setting" and column.name != "device"]
    return tuple(row[name] for name in names)


def _judged(gate: Gate, check: Check, found: Tables) -> Item | None:
    """What `lorafa-prof check` says of this number; None where the check's own cell was not run."""
    results = {}
    for cell in check.cells:
        row = found.get(_key(setting_columns(cell)))
        if row is not None:
            results[cell.cell_id] = CellResult(cell=cell, row=dict(row))
    if check.cell.cell_id not in results:
        return None
    labels = {cell.cell_id: cell.label for cell in check.cells}
    return judge_claims(gate.loaded, [check], results, labels, None, lambda _: None)[0].items[0]


def _settings(cell: Cell) -> dict[str, str]:
    """What a cell is set to, by the keys of `TOLD`: all but its method, since claims compare methods."""
    columns = setting_columns(cell)
    columns |= {"variant": VARIANTS[cell.method.name], "shape": f"{cell.batch} × {cell.seq}"}
    return {key: "" if columns[key] is None else str(columns[key]) for key in TOLD}
