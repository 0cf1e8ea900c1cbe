"""What a report of 200 cells costs: seconds of `lorafa-prof report`, and the size of its page.

    python benchmarks/report.py [CELLS]

The cells are those of the scenario `quickstart`, predicted once (a minute), and then copied under other
seeds, so that records and rows are as large as real ones; only time and size are of interest. Nothing else
should run on the machine. The goals on two cores are 15 s and 5 MB.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import Store


def predict(folder: Path) -> Path:
    """Run `quickstart`; where its results are."""
    command = [sys.executable, "-m", "lorafa_prof", "run", "quickstart", "--no-figures", "--device"]
    subprocess.run([*command, "sim:h100-80gb", "-o", "once"], cwd=folder, check=True, capture_output=True)
    return folder / "once"


def copy_until(count: int, once: Path, out: Path) -> None:
    """Write `count` cells to `out`, copies of those in `once` under other seeds."""
    store, provenance = Store(out), json.loads((once / "provenance.json").read_text())
    results = Store(once).load_all(provenance["cells"]).values()
    store.prepare()
    copies: dict[str, CellResult] = {}
    for seed in itertools.count():
        for result in results:
            if len(copies) == count:
                store.write_table(list(copies), copies)
                store.write_provenance({**provenance, "cells": list(copies)})
                return
            full = Store(once).load(result.cell.cell_id)
            assert full is not None
            cell = full.cell.model_copy(update={"seed": seed})
            row = {**full.row, "cell_id": cell.cell_id}
            copy = full.model_copy(update={"cell": cell, "row": row})
            store.save(copy)
            copies[cell.cell_id] = copy


def main() -> None:
    """Make the cells, time the report."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        copy_until(count, predict(Path(folder)), out)
        for formats in ("html", "html,md,tex,png,pdf"):
            started = time.perf_counter()
            command = [sys.executable, "-m", "lorafa_prof", "report", str(out), "--format", formats]
            subprocess.run(command, check=True, capture_output=True)
            taken = time.perf_counter() - started
            size = (out / "report.html").stat().st_size
            print(
                f"{count} cells on {len(os.sched_getaffinity(0))} cores, --format {formats}: {taken:.1f} s; "
                f"report.html {size / 1e6:.2f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
