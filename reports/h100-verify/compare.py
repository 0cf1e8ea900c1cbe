"""Predict what `measure.py` measured; write the records and the table of `lorafa-prof verify`. Needs no GPU.

python reports/h100-verify/compare.py MEASURED OUT
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from lorafa_prof.results.record import CellResult
from lorafa_prof.running.pool import available_cores
from lorafa_prof.running.worker import run_cell
from lorafa_prof.verification import processes
from lorafa_prof.verification.judge import VerifyRecord, agrees, judge_verification
from lorafa_prof.verification.store import VerifyStore
from lorafa_prof.verification.summary import summary


def main() -> None:
    """Compare every cell that was measured."""
    store = VerifyStore(Path(sys.argv[2]))
    store.prepare()
    files = sorted(Path(sys.argv[1]).glob("*.json"))
    with ThreadPoolExecutor(available_cores()) as pool:
        records = list(pool.map(partial(compared, store), files))
    by_id = {record.cell.cell_id: record for record in records}
    store.write_table(list(by_id), by_id)
    print(summary(records, {cell_id: record.cell.label for cell_id, record in by_id.items()}))


def compared(store: VerifyStore, file: Path) -> VerifyRecord:
    """The record of one cell."""
    measured = CellResult.model_validate_json(file.read_text())
    cell = measured.cell
    twin = cell.on_twin()
    predicted = run_cell(twin, store.log_file(cell.cell_id, "predicted"), 300, processes.predict)
    placed = None
    if not agrees(predicted, measured) and (addresses := measured.details.get("segments")):
        work = partial(processes.predict_placed, addresses)
        placed = run_cell(twin, store.log_file(cell.cell_id, "placed"), 300, work)
    record = judge_verification(predicted, measured, placed=placed)
    store.save(record)
    return record


if __name__ == "__main__":
    main()
