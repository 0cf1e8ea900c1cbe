"""What Ray costs a sweep: tiny predicted cells on this machine, in its own processes and as tasks of Ray.

    python benchmarks/ray_sweep.py [CELLS] > reports/ray-sweep/ray_sweep.csv

Each line is one sweep of CELLS cells (1,000), as `lorafa-prof run` makes it, into a folder of its own: on a
Ray cluster of this machine with a CPU for each core; as many at a time as there are cores; one at a time.
`first_s` is until the first result, in which the servers that cells are forked from import PyTorch and
transformers (Ray has one a worker; the last sweep has that of the one before it). Of the cells after it,
`ms_per_cell` is how often one ended, `in_cell_ms` the mean life of a cell's process from its fork to its
result, and `overhead_ms` what else a core had to do for each: `at_once` x `ms_per_cell` - `in_cell_ms`.
`load_before` is the machine's load, the mean of a minute, when a sweep began.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

from rich.console import Console

from lorafa_prof.cell import Cell
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import Store
from lorafa_prof.running import on_this_machine
from lorafa_prof.running.executor import Executor
from lorafa_prof.running.on_ray import OnRay
from lorafa_prof.running.on_this_machine import OnThisMachine
from lorafa_prof.running.pool import available_cores
from lorafa_prof.running.progress import SweepProgress
from lorafa_prof.running.ray_cluster import connected
from lorafa_prof.running.sweep import run_sweep
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

SCENARIO = """\
schema: 1
name: ray-sweep
model: tiny-llama
method: [{{name: lora, rank: [2, 4]}}, {{name: lora-fa, rank: [2, 4]}}]
batch: {batches}
seq: 8
device: sim:h100-80gb
steps: {{warmup: 1, timed: 1}}
"""
COLUMNS = (
    "executor",
    "at_once",
    "cells",
    "first_s",
    "all_s",
    "ms_per_cell",
    "in_cell_ms",
    "overhead_ms",
    "load_before",
)


class _Clock(SweepProgress):
    """Notes when results come, in seconds since it was made, and how long their cells took; shows nothing."""

    def __init__(self, total: int) -> None:
        super().__init__(total, Console(file=io.StringIO()))
        self.begun = time.monotonic()
        self.ended: list[float] = []
        self.in_cell: list[float] = []

    def cell_ended(self, result: CellResult) -> None:
        if result.row["status"] != "ok":
            raise SystemExit(f"{result.cell.label}: {result.row}")
        self.ended.append(time.monotonic() - self.begun)
        self.in_cell.append(result.details["seconds"]["total"])


def cells_of(count: int) -> list[Cell]:
    """Make `count` different cells, which take equally long; 4 must divide it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "s.yaml")
        file.write_text(SCENARIO.format(batches=list(range(1, count // 4 + 1))))
        return [plan.cell for plan in expand(load_scenario(file), resolve_device)]


def swept(name: str, at_once: int, cells: list[Cell], executor: Executor) -> dict[str, object]:
    """Run `cells`; the line of the table."""
    load = os.getloadavg()[0]
    clock = _Clock(len(cells))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.prepare()
        run_sweep(cells, store, clock, {}, executor, table_of=[one.cell_id for one in cells], timeout_s=None)
    first, last = clock.ended[0], clock.ended[-1]
    each = 1000 * (last - first) / (len(cells) - 1)
    in_cell = 1000 * mean(clock.in_cell[1:])
    times = (
        f"{first:.1f}",
        f"{last:.1f}",
        f"{each:.0f}",
        f"{in_cell:.0f}",
        f"{at_once * each - in_cell:.0f}",
    )
    return dict(zip(COLUMNS, (name, at_once, len(cells), *times, f"{load:.1f}"), strict=True))


def main() -> None:
    """Print a line of CSV for each sweep."""
    cells = cells_of(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    cores = available_cores()
    table = csv.DictWriter(sys.stdout, COLUMNS)
    table.writeheader()
    with connected(None) as nodes:
        table.writerow(swept("ray", cores, cells, OnRay(nodes)))
        sys.stdout.flush()
    table.writerow(swept("this machine", cores, cells, OnThisMachine()))
    sys.stdout.flush()
    on_this_machine.MOST_AT_ONCE = 1
    table.writerow(swept("this machine", 1, cells, OnThisMachine()))


if __name__ == "__main__":
    main()
