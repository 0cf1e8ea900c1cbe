"""Fill the tables of README.md: what was published, beside what an H100 measured and what the twin predicts.

    python reports/paper/page.py

Published numbers are the claims of scenarios/paper/*.yaml. Ours are read from `h100/*/results.csv` and
`twin/*/results.csv` and judged as `lorafa-prof check` judges. What stands between a comment `<!-- settings: NAME -->`,
`<!-- figure: NAME FIGURE -->` or `<!-- summary -->` and its end is written anew; no number there is typed by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorafa_prof.claims.checks import Check
from lorafa_prof.claims.finding import Item, State, worst
from lorafa_prof.claims.gate import Gate, gate_of
from lorafa_prof.claims.judge import judge
from lorafa_prof.claims.metric import FITS
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.table import TABLE_NAME, read_table
from lorafa_prof.scenario.cell import Cell
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import shipped_scenarios

HERE = Path(__file__).resolve().parent
MEASURED, PREDICTED = "h100", "twin"

#: Whose code a method is: LoRA and LoRA-FA by the same are compared, so they share a row.
VARIANTS = {
    "full-ft": "",
    "lora": "lorafa-prof's",
    "lora-fa": "lorafa-prof's",
    "peft-lora": "PEFT's",
    "peft-lora-fa": "PEFT's",
    "peft-lora-fa-after-eval": "PEFT's, after an evaluation",
}
#: What tells one row of a page's table from another, in the order in which it is told.
_TOLD = ("model", "variant", "rank", "targets", "dropout", "dtype", "adapter_dtype", "shape", "attention", "gpu")

Settings = tuple[Value, ...]
Tables = Mapping[Settings, Mapping[str, Value]]


@dataclass(frozen=True)
class Judged:
    """A number of a claim, by each of the two; None where the cell was not run there."""

    check: Check
    measured: Item | None
    predicted: Item | None

    @property
    def item(self) -> Item | None:
        """What decides: the measurement, unless it cannot be judged and the prediction can."""
        if self.measured is None or (self.measured.state == "unknown" and self.predicted is not None):
            return self.predicted
        return self.measured


@dataclass
class Row:
    """All that is claimed of one combination of settings, by the claim's index."""

    settings: dict[str, str]
    claims: dict[int, list[Judged]] = field(default_factory=dict)

    def state(self, index: int) -> State:
        """The worst that came of this claim here."""
        return worst(judged.item.state for judged in self.claims[index] if judged.item is not None)

    @property
    def states(self) -> list[State]:
        """Of every claim that says something here."""
        return [self.state(index) for index in self.claims]


@dataclass(frozen=True)
class Experiment:
    """A scenario with its rows."""

    gate: Gate
    rows: tuple[Row, ...]


def main() -> None:
    """Write README.md beside this file anew."""
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(filled(text, HERE), encoding="utf-8")


def filled(text: str, folder: Path) -> str:
    """`text` with everything between its marks written anew from the results below `folder`."""
    names = re.findall(r"<!-- settings: (\S+) -->", text)
    experiments = {name: experiment(name, folder) for name in names}
    text = _between(text, "summary", summary(experiments))
    for name, each in experiments.items():
        text = _between(text, f"settings: {name}", settings_table(each))
    for name, figure in re.findall(r"<!-- figure: (\S+) (\S+) -->", text):
        text = _between(text, f"figure: {name} {figure}", figure_link(name, figure, folder))
    return text


def _between(text: str, mark: str, new: str) -> str:
    begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"README.md: '{begin}' … '{end}' is not there")
    return f"{before}{begin}\n{new}\n{end}{after}"


def experiment(name: str, folder: Path) -> Experiment:
    """Judge the claims of the shipped scenario paper/`name` on the results below `folder`."""
    gate = gate_of(load_scenario(shipped_scenarios()[f"paper/{name}"]), None)
    measured, predicted = tables(folder / MEASURED, name), tables(folder / PREDICTED, name)
    rows: dict[tuple[str, ...], Row] = {}
    for check in gate.checks:
        told = told_settings(check.cell)
        row = rows.setdefault(tuple(told.values()), Row(told))
        both = Judged(check, judged(gate, check, measured), judged(gate, check, predicted))
        row.claims.setdefault(check.index, []).append(both)
    return Experiment(gate, tuple(rows.values()))


def tables(folder: Path, name: str) -> Tables:
    """Rows of all results below `folder` by their settings; of equal ones that of the scenario itself."""
    files = sorted(folder.glob(f"*/{TABLE_NAME}"), key=lambda file: file.parent.name == name)
    found: dict[Settings, Mapping[str, Value]] = {}
    for file in files:
        for record in read_table(file.parent).astype(object).to_dict("records"):
            row = {str(key): None if value is _missing() else value for key, value in record.items()}
            found[_key(row)] = row
    return found


def _missing() -> Any:
    import pandas as pd

    return pd.NA


def _key(row: Mapping[str, Value]) -> Settings:
    """Everything that a cell is set to, its GPU included, be it measured or predicted."""
    return tuple(row[column.name] for column in COLUMNS if column.group == "setting" and column.name != "device")


def judged(gate: Gate, check: Check, found: Tables) -> Item | None:
    """What `lorafa-prof check` says of this number; None where the check's own cell was not run."""
    rows = {cell.cell_id: found.get(_key(setting_columns(cell, cell.method.name))) for cell in check.cells}
    results = {
        cell.cell_id: CellResult(cell=cell, row={**row})
        for cell in check.cells
        if (row := rows[cell.cell_id]) is not None
    }
    if check.cell.cell_id not in results:
        return None
    labels = {cell.cell_id: cell.label for cell in check.cells}
    return judge(gate.loaded, [check], results, labels, None, lambda _: None)[0].items[0]


def told_settings(cell: Cell) -> dict[str, str]:
    """What a cell is set to, in a table's words, but for its method: claims compare methods."""
    columns = setting_columns(cell, cell.method.name)
    columns |= {"variant": VARIANTS[cell.method.name], "shape": f"{cell.batch} × {cell.seq}"}
    return {key: "" if columns[key] is None else str(columns[key]) for key in _TOLD}


def settings_table(each: Experiment) -> str:
    """The claims of an experiment, numbered, and a row for each combination of settings."""
    claims = each.gate.loaded.scenario.claims
    listed = [f"{number}. {claim.name} ({claim.source})" for number, claim in enumerate(claims, 1)]
    varying = [key for key in _TOLD if len({row.settings[key] for row in each.rows}) > 1]
    same = [_told(key, each.rows[0].settings[key]) for key in _TOLD if key not in varying]
    head = ["settings assumed", "ours on the H100", "ours on the twin", "verdict"]
    lines = [
        [
            _settings_text(row, varying),
            _numbers(row, MEASURED),
            _numbers(row, PREDICTED),
            row_verdict(row.states),
        ]
        for row in each.rows
    ]
    whole = [_settings_text(row, varying) for row in each.rows if set(row.states) == {"pass"}]
    together = f"In {len(whole)} of {len(each.rows)} rows everything claimed of it holds"
    return "\n".join(
        [
            *listed,
            "",
            f"In all rows: {', '.join(filter(None, same))}. {together}{': ' if whole else ''}{'; '.join(whole)}.",
            "",
            *_markdown(head, lines),
        ]
    )


def _told(key: str, value: str) -> str:
    if not value:
        return ""
    names = {"rank": "rank", "dropout": "dropout", "dtype": "base", "adapter_dtype": "adapters", "targets": "on"}
    return f"{names[key]} {value}" if key in names else value


def _settings_text(row: Row, keys: Sequence[str]) -> str:
    return ", ".join(filter(None, (_told(key, row.settings[key]) for key in keys))) or "as above"


def _numbers(row: Row, by: str) -> str:
    """Every number of a row as measured or as predicted, each after its claim's."""
    told = []
    for index, several in row.claims.items():
        items = [(j.check, j.measured if by == MEASURED else j.predicted) for j in several]
        texts = [shown(check, item) for check, item in items if item is not None]
        if texts:
            told.append(f"({index + 1}) {' / '.join(dict.fromkeys(texts))}")
    return "<br>".join(told) or "–"


def shown(check: Check, item: Item) -> str:
    """A number in the unit that publications have, and whether it is as claimed."""
    if item.value is None:
        return "out of memory" if "out of memory" in item.note else "no clock" if "clock" in item.note else "?"
    return f"{_amount(check, float(item.value))} {'✓' if item.state == 'pass' else '✗'}"


def _amount(check: Check, value: float) -> str:
    if check.metric is FITS:
        return "fits" if value else "out of memory"
    if check.kind == "ratio":
        return f"× {value:.3f}"
    unit = {"bytes": "GB", "ms": "ms"}[check.metric.unit]
    if check.kind == "growth":
        return f"{value / 1e6:.3f} MB per {check.axis}"
    return f"{value / 1e9:.2f} {unit}" if unit == "GB" else f"{value:.1f} {unit}"


def row_verdict(states: Sequence[State]) -> str:
    """Whether what is claimed of one combination of settings holds there."""
    if "fail" in states:
        return "in part" if "pass" in states else "not reproduced"
    if "unknown" in states:
        return "as far as it can be judged" if "pass" in states else "cannot be judged"
    return "reproduced"


def claim_verdict(states: Sequence[State]) -> str:
    """Whether a claim holds, over all combinations of settings that it was judged in."""
    if "pass" not in states:
        return "not reproduced" if "fail" in states else "cannot be judged"
    return "reproduced only under stated conditions" if "fail" in states else "reproduced"


def summary(experiments: Mapping[str, Experiment]) -> str:
    """A line for each claim, with the settings in which it fares best beside the others of its scenario."""
    head = ["published", "source", "ours on the H100", "ours on the twin", "settings assumed", "verdict"]
    lines = []
    for each in experiments.values():
        varying = [key for key in _TOLD if len({row.settings[key] for row in each.rows}) > 1 or key == "model"]
        for index, claim in enumerate(each.gate.loaded.scenario.claims):
            rows = [row for row in each.rows if index in row.claims]
            best = max(rows, key=lambda row: (row.state(index) == "pass", row.states.count("pass")))
            only = Row(best.settings, {index: best.claims[index]})
            numbers = [_numbers(only, by).removeprefix(f"({index + 1}) ") for by in (MEASURED, PREDICTED)]
            verdict = claim_verdict([row.state(index) for row in rows])
            lines.append([claim.name, claim.source or "", *numbers, _settings_text(best, varying), verdict])
    return "\n".join(_markdown(head, lines))


def figure_link(name: str, figure: str, folder: Path) -> str:
    """A link to a figure of measurements, or of predictions where nothing is measured."""
    for by in (MEASURED, PREDICTED):
        if (folder / by / name / "figures" / f"{figure}.png").is_file():
            return f"![{name}, {figure}, {by}]({by}/{name}/figures/{figure}.png)"
    return f"({name}: no figure {figure} yet)"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]


if __name__ == "__main__":
    main()
