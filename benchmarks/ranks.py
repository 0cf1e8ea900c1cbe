"""The twin's ranks against measured ones: every counter at every point of the step, in bytes.

    lorafa-prof run parallel-llama-3-8b -o out/ranks        # on the GPUs
    python benchmarks/ranks.py out/ranks > ranks.csv         # anywhere

Predicts each cell of several GPUs that OUT has a record of, with the PyTorch that is installed here, and
compares each measured rank with the predicted one that is alike. A row is the point where a counter is
farthest off, and the peak of the step. Exit code 1 where requested differs anywhere, allocated by more than
0.1 % or reserved by more than 1 % of its peak.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.verification.residuals import PhaseResidual, phase_residuals

#: By counter, the largest share of its peak that it may be off.
MOST = {"requested": 0.0, "allocated": 0.001, "reserved": 0.01}
HEADER = (
    *("cell_id", "rank", "counter", "phase", "point", "predicted", "measured", "residual"),
    *("predicted_peak", "measured_peak", "within"),
)


def measured_in(out: Path) -> Iterator[CellResult]:
    """Yield the records of cells that were measured on several ranks, to their end."""
    for file in sorted((out / "cells").glob("*.json")):
        result = CellResult.model_validate_json(file.read_text(encoding="utf-8"))
        if result.cell.parallel != "none" and not result.cell.is_predicted and result.row["status"] == "ok":
            yield result


def pairs(
    predicted: CellResult, measured: CellResult
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Yield each measured rank with the memory that was predicted of one like it, and its own."""
    kinds = zip(predicted.details["alike_ranks"], predicted.details["ranks"], strict=True)
    of_kind = [(range(first, last + 1), rank["memory"]) for (first, last), rank in kinds]
    for rank in measured.details["ranks"]:
        memory = next(memory for alike, memory in of_kind if rank["rank"] in alike)
        yield rank["rank"], memory, rank["memory"]


def rows_of(number: int, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yield a row without the cell for each counter."""
    residuals = phase_residuals(ours, theirs)
    for counter, most in MOST.items():
        of_counter = [each for each in residuals if each.counter == counter]
        worst = max(of_counter, key=lambda each: abs(each.bytes.residual))
        peaks = _peak(of_counter, "predicted"), _peak(of_counter, "measured")
        pair = worst.bytes
        within = abs(pair.residual) <= most * peaks[1]
        yield (
            *(number, counter, worst.phase, worst.point),
            *(pair.predicted, pair.measured, pair.residual, *peaks, within),
        )


def _peak(residuals: list[PhaseResidual], side: str) -> int:
    return max(getattr(each.bytes, side) for each in residuals if each.point == "peak")


def main(out: Path) -> int:
    """Print the table of all records in `out`."""
    table = csv.writer(sys.stdout)
    table.writerow(HEADER)
    all_within = True
    for measured in measured_in(out):
        predicted = measure_cell(measured.cell.on_twin())
        if predicted.row["status"] != "ok":
            failed = (predicted.row["status"], predicted.row.get("failed_phase"))
            table.writerow((measured.cell.cell_id, "", *failed))
            all_within = False
            continue
        for pair in pairs(predicted, measured):
            for row in rows_of(*pair):
                table.writerow((measured.cell.cell_id, *row))
                all_within = all_within and row[-1]
    return 0 if all_within else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
