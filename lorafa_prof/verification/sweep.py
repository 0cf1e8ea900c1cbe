"""Verifying the cells of a scenario, one after the other, and keeping every result at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.worker import Work, run_cell
from lorafa_prof.verification import processes
from lorafa_prof.verification.comparison import alike, of_ranks
from lorafa_prof.verification.judge import VerifyRecord, agrees, judge_verification
from lorafa_prof.verification.operations import Streams
from lorafa_prof.verification.store import Records, VerifyStore
from lorafa_prof.verification.traces import Data, Traces, streams_of, taken, traces_of

Rerun = Literal["missing", "failed", "all", "twin"]
#: A cell's parts; each is a process of its own.
Run = Callable[[Cell, str, Work], CellResult]


def cells_to_verify(cells: Sequence[Cell], records: Records, rerun: Rerun) -> list[Cell]:
    """Return those of `cells` without a record; with ``failed`` also those that failed; with ``all`` all.

    With ``twin`` it is those that have a record: they are predicted anew.
    """

    def wanted(cell: Cell) -> bool:
        record = records.get(cell.cell_id)
        if rerun == "twin":
            return record is not None
        return rerun == "all" or record is None or (rerun == "failed" and record.row["status"] == "error")

    return [cell for cell in cells if wanted(cell)]


def verify_sweep(
    cells: Sequence[Cell],
    store: VerifyStore,
    records: Records,
    *,
    table_of: Sequence[str],
    timeout_s: float | None,
    gpu_trace: bool,
    predict_only: bool = False,
    started: Callable[[Cell], None],
    ended: Callable[[VerifyRecord], None],
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Verify `cells`; record and table are up to date after each.

    Args:
        cells: what to verify.
        store: keeps the results.
        records: records of earlier runs; the new ones are added to it.
        table_of: ids of all the cells that belong into the table, in its order.
        timeout_s: limit for each process of a cell.
        gpu_trace: whether the GPU's allocation stream is recorded.
        predict_only: whether only to predict, and to compare with the GPU's results in `records` and traces.
        started: called before each cell.
        ended: called after each.
        stop: whether no other cell shall start.
    """
    for cell in cells:
        if stop():
            return
        started(cell)

        def run(run_as: Cell, part: str, work: Work, log_of: str = cell.cell_id) -> CellResult:
            return run_cell(run_as, store.log_file(log_of, part), timeout_s, work)

        if predict_only:
            record = predicted_again(records[cell.cell_id], store, run)
        else:
            record = verified(cell, store, run, gpu_trace=gpu_trace)
        store.save(record)
        records[cell.cell_id] = record
        store.write_table(table_of, records)
        ended(record)


def verified(cell: Cell, store: VerifyStore, run: Run, *, gpu_trace: bool) -> VerifyRecord:
    """Measure, record and predict a cell, and return the record of it."""
    measured = run(cell, "measured", processes.measure)
    recorded: CellResult | None = None
    data: Data = {}
    if gpu_trace and measured.row["status"] == "ok":
        recorded, data = taken(run(cell, "recorded", processes.record))
        data = data if recorded.row["status"] == "ok" else {}
    store.save_trace(cell.cell_id, data)
    return _judged(cell, run, measured, recorded, traces_of(data) if data else {})


def predicted_again(record: VerifyRecord, store: VerifyStore, run: Run) -> VerifyRecord:
    """Predict a cell with today's twin, compare with what was measured before, and return the record."""
    cell = record.cell
    return _judged(cell, run, record.measured, record.recorded, store.load_traces(cell.cell_id))


def _judged(
    cell: Cell, run: Run, measured: CellResult, recorded: CellResult | None, traces: Traces
) -> VerifyRecord:
    work = processes.predict_with_stream if traces else processes.predict
    predicted, data = taken(run(cell.on_twin(), "predicted", work))
    streams = []
    if traces and predicted.row["status"] == "ok":
        twins = {rank or 0: stream for rank, stream in streams_of(data).items()}
        streams = [Streams(alike(twins, rank or 0), trace, rank) for rank, trace in traces.items()]
    placed = None
    addresses = {rank: details.get("segments") or [] for rank, details in of_ranks(measured).items()}
    if addresses and all(addresses.values()) and not agrees(predicted, measured):
        placed = run(cell.on_twin(), "placed", partial(processes.predict_placed, addresses))
    return judge_verification(predicted, measured, recorded, placed=placed, streams=streams)
