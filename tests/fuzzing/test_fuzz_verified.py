"""Whatever a folder of verifications or of published numbers has come to say: words, in time."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import NamedTuple

import pytest
from fuzzing.effort import effort
from fuzzing.ended import check_ends_well
from fuzzing.odd_csv import tables
from fuzzing.odd_json import mutations
from fuzzing.written_scenarios import ODD_VALUES
from hypothesis import given
from hypothesis import strategies as st
from published_folders import NAME, SCENARIO, add_run, folder_of_mine
from recorded_cell import memory, recorded_cell, result, trace_data
from told_verification import sent

from lorafa_prof.report.published.folder import read_folder
from lorafa_prof.report.published.page import filled
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.verification.judge import judge_verification
from lorafa_prof.verification.store import VerifyStore
from lorafa_prof.verification.summary import exit_code, outcome, summary, table_rows
from lorafa_prof.verification.verify_csv import table_text


class Verified(NamedTuple):
    """A folder of one verification, with its streams."""

    store: VerifyStore
    cell_id: str


@pytest.fixture(scope="module", params=["one GPU", "two GPUs"])
def verified(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """A verification of a cell, or of one of two ranks."""
    store = VerifyStore(tmp_path_factory.mktemp("verified"))
    store.prepare()
    cell, trace = recorded_cell(), trace_data()
    sides = [result(cell.on_twin(), memory()), result(cell, memory()), result(cell, memory("recorded"))]
    if request.param == "two GPUs":
        cell = cell.model_copy(update={"parallel": "fsdp2", "gpus": 2})
        sides = [on_two_ranks(side) for side in sides]
        trace = {"ranks": {"0": trace, "1": trace}}
    store.save(judge_verification(*sides))
    store.save_trace(cell.cell_id, trace)
    made = Verified(store, cell.cell_id)
    read(made)
    return made


def on_two_ranks(side: CellResult) -> CellResult:
    cell = side.cell.model_copy(update={"parallel": "fsdp2", "gpus": 2})
    ranks = [{"rank": rank, "communication": sent(), **side.details} for rank in range(2)]
    row = {**side.row, **setting_columns(cell)}
    return side.model_copy(update={"cell": cell, "row": row, "details": {**side.details, "ranks": ranks}})


def read(verified: Verified) -> None:
    """What `verify` does with what it finds."""
    records = verified.store.load_all([verified.cell_id])
    verified.store.load_traces(verified.cell_id)
    labels = dict.fromkeys(records, "a cell")
    found = list(records.values())
    table_text([record.row for record in found])
    table_rows(found, labels)
    summary(found, labels)
    exit_code(found)
    for record in found:
        outcome(record)
        # as with --rerun twin
        judge_verification(record.predicted, record.measured, record.recorded)


@effort(40)
@given(st.data())
def test_any_verification(verified, data):
    file = verified.store.record_file(verified.cell_id)
    kept = file.read_text()
    file.write_text(json.dumps(data.draw(mutations(json.loads(kept)), label="record")))
    try:
        check_ends_well(lambda: read(verified))
    finally:
        file.write_text(kept)


@effort(20)
@given(st.data())
def test_any_stream(verified, data):
    file = verified.store.trace_file(verified.cell_id)
    kept = file.read_bytes()
    odd = st.one_of(
        st.sampled_from(
            [
                {"stream": 1},
                {"stream": {"texts": [], "operations": [[]]}, "plain": [[1]]},
                [],
                {},
                {"ranks": [1]},
                {"ranks": {"0": {"stream": 1}}},
            ]
        ),
        st.binary(max_size=40),
        st.integers(1, len(kept) - 1),
    )
    drawn = data.draw(odd, label="stream")
    if isinstance(drawn, int):
        file.write_bytes(kept[:drawn])
    else:
        file.write_bytes(drawn if isinstance(drawn, bytes) else lzma.compress(json.dumps(drawn).encode()))
    try:
        check_ends_well(lambda: read(verified))
    finally:
        file.write_bytes(kept)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of published numbers with a run."""
    folder = folder_of_mine(tmp_path_factory.mktemp("published") / "paper")
    add_run(folder, f"predicted/{NAME}", "sim:a100-40gb", lambda method, seq: seq * 2**20)
    check_ends_well(lambda: filled(read_folder(folder)))
    return folder


@effort(25)
@given(st.data())
def test_any_published_table(published, data):
    (table,) = published.rglob("results.csv")
    kept = table.read_text()
    table.write_bytes(data.draw(tables(kept), label="table").encode(errors="surrogatepass"))
    try:
        check_ends_well(lambda: filled(read_folder(published)))
    finally:
        table.write_text(kept)


@effort(25)
@given(st.data())
def test_any_published_claim(published, data):
    lines = SCENARIO.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1), label="line")
    key, colon, _ = lines[at].partition(": ")
    lines[at] = key + colon + data.draw(st.sampled_from(ODD_VALUES), label="value")
    file = published / f"{NAME}.yaml"
    file.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
    try:
        check_ends_well(lambda: filled(read_folder(published)))
    finally:
        file.write_text(SCENARIO)
