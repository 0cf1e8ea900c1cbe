"""Measure this folder's cells on a GPU, several at a time as far as its memory goes.

    python reports/h100-verify/measure.py OUT

Each runs in a process of its own, the first of those of `lorafa-prof verify`, and sees no other's allocator.
`compare.py` does the rest, without a GPU.
"""

from __future__ import annotations

import csv
import sys
import threading
import time
from pathlib import Path

from lorafa_prof.cell import Cell
from lorafa_prof.devices.device import resolve_device
from lorafa_prof.running.worker import run_cell
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.verification import processes

HERE = Path(__file__).parent
GPU_BYTES = 80e9
CONTEXT_BYTES = 1.5e9
MOST_AT_ONCE = 12


def main() -> None:
    """Run the cells, the largest first."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    needs = {cell.cell_id: GPU_BYTES for cell in cells()} | reserved()
    left = sorted(cells(), key=lambda cell: needs[cell.cell_id], reverse=True)
    free = [GPU_BYTES]
    changed = threading.Condition()

    def measure(cell: Cell) -> None:
        result = run_cell(cell, out / f"{cell.cell_id}.log", 120, processes.measure)
        (out / f"{cell.cell_id}.json").write_text(result.model_dump_json())
        print(cell.label, result.row["status"], flush=True)
        with changed:
            free[0] += needs[cell.cell_id]
            changed.notify_all()

    threads: list[threading.Thread] = []
    while left:
        with changed:
            cell = next((cell for cell in left if needs[cell.cell_id] <= free[0]), None)
            if cell is None or sum(thread.is_alive() for thread in threads) >= MOST_AT_ONCE:
                changed.wait(1)
                continue
            left.remove(cell)
            free[0] -= needs[cell.cell_id]
        threads.append(threading.Thread(target=measure, args=(cell,)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def cells() -> list[Cell]:
    """The cells of this folder's scenarios."""
    files = sorted(HERE.glob("*.yaml"))
    return [plan.cell for file in files for plan in expand(load_scenario(file), resolve_device)]


def reserved() -> dict[str, float]:
    """What cells reserved in an earlier run, with a context; the whole GPU where they ran out of memory."""
    name = "measured_peak_reserved_bytes"
    rows = [row for table in (HERE / "first-run").glob("*.csv") for row in csv.DictReader(table.open())]
    return {row["cell_id"]: min(GPU_BYTES, CONTEXT_BYTES + float(row[name] or GPU_BYTES)) for row in rows}


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"{time.monotonic() - start:.0f} s")
