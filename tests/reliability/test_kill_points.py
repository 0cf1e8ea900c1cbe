"""Whenever a run is killed while it writes, what was finished is there, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cells import make_cell
from reliability.killed import Say, count_moments, killed_at

from lorafa_prof.results.lock import locked
from lorafa_prof.results.provenance_file import write_provenance
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.store import CellResults, Store, without_details
from lorafa_prof.results.table import read_table
from lorafa_prof.scenario.schema import Scenario
from lorafa_prof.verification.judge import VerifyRecord, judge_verification
from lorafa_prof.verification.store import Records, VerifyStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

#: Of a run's moments the tests try so many, spread evenly; with the variable set, all.
FEW = 30
ALL_VARIABLE = "LORAFA_ALL_KILL_POINTS"
#: So many moments there are at least: fewer would mean that the writing is looked at no longer.
FEWEST = 500
SCENARIO = Scenario.model_validate(
    {"schema": 1, "name": "killed", "model": ["tiny-gpt2"], "method": [{"name": "lora"}]}
)
COMMAND = ["run", "s.yaml"]


def result_of(batch: int, status: str) -> CellResult:
    cell = make_cell(options={"rank": 4}, batch=batch)
    row: dict[str, Any] = {**setting_columns(cell), "status": status, "saved_bytes": batch * 2**20}
    return CellResult(cell=cell, row=row, details={"n": list(range(200))}, environment={"python": "3"})


RESULTS = {result.cell.cell_id: result for result in (result_of(batch, "ok") for batch in range(1, 17))}
RECORDS = {
    cell_id: judge_verification(result_of(batch, "error"), result_of(batch, "error"))
    for batch, cell_id in enumerate(RESULTS, start=1)
}
TRACE = {"stream": {"texts": [], "operations": []}, "plain": []}


def run(out: Path, say: Say) -> None:
    """What `lorafa-prof run` does with its folder; it says which cells it has finished."""
    store = Store(out)
    store.prepare()
    with locked(out, COMMAND):
        there: CellResults = store.load_all(list(RESULTS))
        for cell_id, result in RESULTS.items():
            if cell_id not in there:
                store.save(result)
                say(cell_id)
                there[cell_id] = without_details(result)
                store.write_table(list(RESULTS), there)
        store.write_table(list(RESULTS), there)
        write_provenance(store, SCENARIO, list(there.values()), COMMAND)


def check_results(out: Path, finished: list[str]) -> None:
    store = Store(out)
    for cell_id in finished:
        assert store.load(cell_id) == RESULTS[cell_id]
    if store.results_csv.exists():
        assert set(read_table(out)["cell_id"]) <= set(store.load_all(list(RESULTS)))


def verify(out: Path, say: Say) -> None:
    """What `lorafa-prof verify` does with its folder."""
    store = VerifyStore(out)
    store.prepare()
    with locked(out, COMMAND):
        there: Records = store.load_all(list(RECORDS))
        for cell_id, record in RECORDS.items():
            if cell_id not in there:
                store.save_trace(cell_id, TRACE)
                store.save(record)
                say(cell_id)
                there[cell_id] = record
                store.write_table(list(RECORDS), there)
        store.write_table(list(RECORDS), there)


def check_records(out: Path, finished: list[str]) -> None:
    store = VerifyStore(out)
    there: dict[str, VerifyRecord] = store.load_all(list(RECORDS))
    for cell_id in finished:
        assert there[cell_id] == RECORDS[cell_id]
        assert store.load_traces(cell_id)


def contents(out: Path) -> dict[str, bytes]:
    """All files, but for the one that has the time of its writing."""
    files = (file for file in out.rglob("*") if file.is_file() and file.name != "provenance.json")
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


@pytest.mark.parametrize(("work", "check"), [(run, check_results), (verify, check_records)])
def test_killed_at_any_moment_of_its_writing(
    tmp_path: Path, work: Callable[[Path, Say], None], check: Callable[[Path, list[str]], None]
) -> None:
    moments = count_moments(lambda say: work(tmp_path / "whole", say))
    assert moments >= FEWEST
    tried = range(1, moments + 1, 1 if ALL_VARIABLE in os.environ else moments // FEW)
    acknowledged = 0
    out = tmp_path / "killed"
    for moment in tried:
        finished = killed_at(moment, lambda say: work(out, say))
        check(out, finished)
        acknowledged += len(finished)
        work(out, lambda cell_id: None)
        assert contents(out) == contents(tmp_path / "whole"), f"moment {moment} of {moments}"
        shutil.rmtree(out)
    assert acknowledged
    print(f"{work.__name__}: {len(tried)} kills, {acknowledged:,} finished cells, none lost")
