"""A folder of published numbers about tiny models, with results that nothing measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lorafa_prof.cell import Cell
from lorafa_prof.claims.gate import gate_of
from lorafa_prof.results.record import Value
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.table import TABLE_NAME, write_table
from lorafa_prof.scenario.load import load_scenario

MB = 10**6
NAME = "mine"
SCENARIO = """\
schema: 1
name: mine
model: tiny-llama
method: [lora, lora-fa]
batch: 2
seq: [8, 16]
gpu: a100-40gb
claims:
  - name: LoRA-FA takes 60 MB
    source: a page | of a blog
    metric: peak_allocated_bytes
    of: {method: lora-fa}
    equals: 60 MB
    tolerance: 10 %
  - name: LoRA takes 1.5 times as much
    metric: peak_allocated_bytes
    of: {method: lora, seq: 16}
    relative_to: {method: lora-fa}
    equals: 1.5
    tolerance: 10 %
  - name: LoRA-FA saves memory
    source: the same page, no number; that any is meant is our reading
    metric: peak_allocated_bytes
    of: {method: lora}
    relative_to: {method: lora-fa}
    at_least: 1.2
  - name: LoRA-FA grows by 2 MB per token
    source: nobody
    metric: peak_allocated_bytes
    of: {method: lora-fa}
    growth_over: seq
    equals: 2 MB
"""
PAGE = f"""\
# Mine

<!-- picture: Where it was measured. -->
<!-- summary -->
<!-- end summary -->
<!-- settings: {NAME} -->
an older table
<!-- end settings: {NAME} -->
<!-- figure: {NAME} memory-by-method -->
<!-- end figure: {NAME} memory-by-method -->
The end.
"""

#: Bytes of a cell's peak; None where it was not run.
Bytes = Callable[[str, int], int | None]


def folder_of_mine(path: Path) -> Path:
    """The page and its scenario, without results."""
    path.mkdir(parents=True, exist_ok=True)
    (path / f"{NAME}.yaml").write_text(SCENARIO)
    (path / "README.md").write_text(PAGE)
    return path


def cells_of_mine(path: Path, device: str) -> list[Cell]:
    planned = gate_of(load_scenario(path / f"{NAME}.yaml"), None).planned
    return [plan.cell.model_copy(update={"device": device}) for plan in planned]


def add_run(path: Path, run: str, device: str, peak: Bytes) -> Path:
    """Write ``<place>/<run>/results.csv`` of the cells that `peak` knows."""
    rows: list[Mapping[str, Value]] = []
    for cell in cells_of_mine(path, device):
        allocated = peak(cell.method.name, cell.seq)
        if allocated is not None:
            rows.append(setting_columns(cell) | {"status": "ok", "peak_allocated_bytes": allocated})
    write_table(rows, path / run / TABLE_NAME)
    return path / run
