from __future__ import annotations

import json
import os
import re
import stat
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cells import make_cell

from lorafa_prof.errors import UsageError
from lorafa_prof.results import store as module
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import DamagedRecordError, Store
from lorafa_prof.results.table import read_table


def result_of(batch: int, status: str = "ok", **row: Any) -> CellResult:
    cell = make_cell(options={"rank": 4}, batch=batch)
    written = {"cell_id": cell.cell_id, "status": status, "batch": batch, **row}
    return CellResult(cell=cell, row=written, details={"storages": [1, 2]}, environment={"python": "3"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "deep" / "out")
    made.prepare()
    return made


def test_a_result_comes_back_as_it_was_kept(store):
    result = result_of(1, activation_bytes=2**40, mfu=0.5, message=None)
    store.save(result)
    assert store.load(result.cell.cell_id) == result
    assert store.load("never-measured") is None


def test_records_logs_and_table_have_their_places(tmp_path):
    made = Store(tmp_path)
    assert made.cell_file("a") == tmp_path / "cells" / "a.json"
    assert made.log_file("a") == tmp_path / "logs" / "a.log"
    assert made.results_csv == tmp_path / "results.csv"


def test_a_record_of_before_axes_were_added_is_read(store):
    result = result_of(1)
    store.save(result)
    file = store.cell_file(result.cell.cell_id)
    record = json.loads(file.read_text())
    for name in ("padding", "accumulation", "max_grad_norm"):
        del record["cell"][name]
    file.write_text(json.dumps(record))
    assert store.load(result.cell.cell_id) == result


def test_without_details_a_result_has_all_that_its_row_needs(store):
    store.save(result_of(1))
    (loaded,) = store.load_all([result_of(1).cell.cell_id, "never-measured"]).values()
    assert loaded.details == {}
    assert loaded.row == result_of(1).row
    assert loaded.environment == {"python": "3"}


def _edit(**changes: Any):
    def edit(text: str) -> str:
        return json.dumps({**json.loads(text), **changes})

    return edit


DAMAGES = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not JSON": lambda text: "hello",
    "a newer version": _edit(schema_version=2),
    "unknown keys": _edit(more=1),
    "no status": _edit(row={}),
    "a status that is none": _edit(row={"status": "good"}),
    "another cell's": lambda text: text.replace('"batch": 1', '"batch": 7'),
    "not UTF-8": lambda text: text.encode("utf-16"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_is_one_line_that_says_what_to_do(store, damage):
    result = result_of(1)
    store.save(result)
    file = store.cell_file(result.cell.cell_id)
    changed = damage(file.read_text())
    assert changed != file.read_text()
    file.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    for load in (lambda: store.load(result.cell.cell_id), lambda: store.load_all([result.cell.cell_id])):
        with pytest.raises(DamagedRecordError) as error:
            load()
        assert str(error.value).startswith(f"{file}: this record is damaged")
        assert "--rerun failed" in str(error.value)
        assert "\n" not in str(error.value)
    # One that is measured again anyway is in nobody's way.
    assert store.load_all([result.cell.cell_id], discard={result.cell.cell_id}) == {}


def test_the_table_has_the_asked_cells_that_have_a_result_in_the_asked_order(store):
    kept = {result.cell.cell_id: result for result in (result_of(1), result_of(2), result_of(3))}
    one, two, three = kept
    store.write_table([three, "never-measured", one], kept)
    assert list(read_table(store.out)["cell_id"]) == [three, one]
    store.write_table([one, two], kept)
    table = read_table(store.out)
    assert list(table["cell_id"]) == [one, two]
    assert table["activation_bytes"].isna().all()
    assert pd.api.types.is_integer_dtype(table["batch"])


def test_provenance_is_text_that_can_be_compared_line_by_line(store):
    store.write_provenance({"b": {"d": 1, "c": 2}, "a": "x"})
    text = (store.out / "provenance.json").read_text()
    assert text == '{\n "a": "x",\n "b": {\n  "c": 2,\n  "d": 1\n }\n}\n'


def test_records_of_other_cells_are_known(store):
    ids = [result_of(batch).cell.cell_id for batch in (1, 2, 3)]
    for batch in (1, 2, 3):
        store.save(result_of(batch))
    assert store.others(ids) == []
    assert store.others(ids[1:]) == ids[:1]
    assert Store(store.out / "nowhere").others(ids) == []


def test_writing_is_atomic(tmp_path, monkeypatch):
    file = tmp_path / "x.json"
    write_atomically(file, "old")

    def fails(*args: object) -> None:
        assert (tmp_path / "x.json").read_text() == "old"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
    monkeypatch.undo()
    with file.open() as reader:
        write_atomically(file, "new")
        assert reader.read() == "old", "who reads meanwhile reads the old one to its end"
    assert file.read_text() == "new"


def test_what_is_written_can_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "x.json", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o644


def test_a_full_disk_is_one_line(store, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: store.save(result_of(1)),
        lambda: store.write_table([], {}),
        lambda: store.write_provenance({}),
    ):
        with pytest.raises(UsageError) as error:
            write()
        assert (
            str(error.value)
            == f"cannot write to '{store.out}': No space left on device; choose another with -o"
        )


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out", Path("/proc/out")):
        with pytest.raises(UsageError, match=r"cannot write to .*choose another with -o"):
            Store(out).prepare()


def test_a_full_disk_is_told_before_anything_runs_in_each_folder_that_is_written(tmp_path, monkeypatch):
    tried: list[Path] = []

    def full(dir: Path) -> AbstractContextManager[None]:
        tried.append(dir)
        if dir == tmp_path:
            raise OSError(28, "No space left on device")
        return nullcontext()

    monkeypatch.setattr(module.tempfile, "TemporaryFile", full)
    with pytest.raises(UsageError, match=f"^cannot write to '{re.escape(str(tmp_path))}': No space left"):
        Store(tmp_path).prepare()
    assert tried == [tmp_path / "cells", tmp_path / "logs", tmp_path]
    assert all(folder.is_dir() for folder in tried)


def test_a_record_that_may_not_be_read_is_not_called_damaged(store, monkeypatch):
    store.save(result_of(1))

    def denied(self: Path, *args: object, **kwargs: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.Path, "open", denied)
    with pytest.raises(UsageError, match="cannot be read: Permission denied"):
        store.load(result_of(1).cell.cell_id)
