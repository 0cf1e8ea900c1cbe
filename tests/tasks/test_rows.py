"""Finding and reading local files, and what is said of those that are missing, damaged or otherwise."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from small_data import as_json, as_lines, as_text, boolq_rows, gsm8k_rows

from lorafa_prof.errors import UsageError
from lorafa_prof.tasks.choice import TaskChoice
from lorafa_prof.tasks.rows.parts import read_parts
from lorafa_prof.tasks.rows.row import RowError, text, texts, whole
from lorafa_prof.tasks.rows.source import Source
from lorafa_prof.tasks.rows.table import read_json, read_tsv

SOURCE = Source(("arceasy", "arce"))
WHOLE = Source(("humaneval",), test_is_whole=True)


def found(data: Path | str, *sources: Source) -> tuple[str | None, str | None]:
    """The files that were read to train on and to test on, within the folder."""
    parts = read_parts(TaskChoice(name="it", data=str(data)), sources or [SOURCE])
    names = [rows and str(rows.where) for rows in (parts.train, parts.test)]
    train, test = (name and name.removeprefix(f"{data}/") for name in names)
    return train, test


def files(folder: Path, *names: str) -> Path:
    for name in names:
        as_json(folder / name, [{"a": 1}])
    return folder


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["arc-easy-train.json.gz", "arc-easy-test.json.gz"], (0, 1)),
        (["ARC_Easy.train.jsonl", "arceasy_validation.jsonl"], (0, 1)),
        (["ARC-Easy/train.json", "ARC-Easy/test.json"], (0, 1)),
        (["ARC-Easy/arc-e-training.json", "ARC-Easy/dev.json"], (0, 1)),
        (["train.json", "test.json"], (0, 1)),
        (["arc-easy-train.json", "arc-easy-dev.json", "arc-easy-test.json"], (0, 2)),
        (["arc-easy-train.json", "arc-challenge-test.json"], (0, None)),
        (["arc-easy-test.json", "train.csv"], (None, 0)),
        (["ARC-Easy/test.json", "train.json"], (None, 0)),
    ],
)
def test_files_are_found_by_their_names(tmp_path: Path, names: list[str], expected: tuple[Any, Any]) -> None:
    files(tmp_path, *names)
    assert found(tmp_path) == tuple(None if place is None else names[place] for place in expected)


def test_a_set_without_parts_is_what_is_tested_on(tmp_path: Path) -> None:
    files(tmp_path, "HumanEval.jsonl.gz")
    assert found(tmp_path, WHOLE) == (None, "HumanEval.jsonl.gz")
    assert found(tmp_path / "HumanEval.jsonl.gz", WHOLE) == (None, str(tmp_path / "HumanEval.jsonl.gz"))


@pytest.mark.parametrize(
    ("name", "part"), [("my-test.json", 1), ("my-dev.jsonl.gz", 1), ("my.json", 0), ("train.json", 0)]
)
def test_a_file_is_the_part_that_its_name_says(tmp_path: Path, name: str, part: int) -> None:
    file = files(tmp_path, name) / name
    assert found(file)[part] == str(file)
    assert found(file)[1 - part] is None


def test_two_files_that_could_be_it_are_named(tmp_path: Path) -> None:
    files(tmp_path, "arc-easy-train.json", "arc-easy-train.json.gz")
    with pytest.raises(UsageError, match=r"has arc-easy-train.json and arc-easy-train.json.gz, and"):
        found(tmp_path)


def test_a_folder_without_it_says_what_files_are_called(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        found(tmp_path)
    assert str(raised.value) == (
        f"task 'it': {tmp_path} has no data of it; its files are called arceasy-train, arceasy-test or the "
        "like, and end in .json, .jsonl"
    )


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"task 'it': there is no file or folder .*/nothing"):
        found(tmp_path / "nothing")


def test_a_path_that_is_too_long_is_not_there() -> None:
    with pytest.raises(UsageError, match="task 'it': there is no file or folder"):
        found("/" + "x" * 5000)


def test_a_file_of_another_form_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"task 'it' reads no file like .*; it reads \.json, \.jsonl, gzipped"
    ):
        found(as_text(tmp_path / "boolq.parquet", "x"))


def test_without_data_or_a_place_on_the_hub_data_must_be_said() -> None:
    with pytest.raises(UsageError, match="task 'it' has no data set on the hub; set data to a local file"):
        found("")


DAMAGED = {
    "cut.json.gz": gzip.compress(b'[{"a": 1}]' * 50)[:-12],
    "no-gzip.json.gz": b'[{"a": 1}]',
    "broken.json.gz": gzip.compress(b"x" * 1000)[:20] + b"\0" * 20,
    "latin.json": '[{"a": "é"}]'.encode("latin-1"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(DAMAGED[name])
    with pytest.raises(UsageError, match=f"{name} cannot be read \\(.*\\); fetch it again"):
        found(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"a": 1},\n', "line 2 is no JSON"),
        ('{"a": 1}\n{"a": \n', "line 2 is no JSON"),
        ("<html>", "line 1 is no JSON"),
        ("[1]", "item 1 is no object with fields"),
        ('{"a": 1}\n[2]', "item 2 is no object with fields"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_json_is_named(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        found(as_text(tmp_path / "train.json", content))
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_no_items_are_said(tmp_path: Path) -> None:
    from lorafa_prof.tasks.items import choose_items

    choice = TaskChoice(name="it", data=str(as_text(tmp_path / "test.json", "[]")))
    with pytest.raises(UsageError, match=r"test\.json has no items"):
        choose_items(choice, read_parts(choice, [SOURCE]), dict)


def test_too_few_to_hold_out_are_said(tmp_path: Path) -> None:
    from lorafa_prof.tasks.items import choose_items

    choice = TaskChoice(name="it", data=str(as_lines(tmp_path / "train.json", gsm8k_rows(1))))
    with pytest.raises(UsageError, match=r"has 1 items, too few to hold out 0\.1 of them"):
        choose_items(choice, read_parts(choice, [SOURCE]), dict)


def test_tables() -> None:
    assert read_tsv('a\tb\n1\t"2\n') == [{"a": "1", "b": '"2'}]
    assert read_tsv("") == read_json("") == []
    with pytest.raises(RowError, match="line 3 has 1 fields and not 2"):
        read_tsv("a\tb\n1\t2\n3\n")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda row: text(row, "number"), "'number' is 3, not text"),
        (lambda row: text(row, "blank"), "'blank' is ' ', not text"),
        (lambda row: texts(row, "text"), "'text' is 'ants', not a list of texts"),
        (lambda row: whole(row, "number", 3), "'number' is 3, not a number from 0 to 2"),
        (lambda row: whole(row, "text", 3), "'text' is 'ants', not a number from 0 to 2"),
        (lambda row: text(row, "gone"), "there is no 'gone' among its fields (number, blank, text, long)"),
        (lambda row: whole(row, "long", 3), f"'long' is '{'x' * 56}..., not a number from 0 to 2"),
    ],
)
def test_fields_that_are_otherwise(read: Any, said: str) -> None:
    with pytest.raises(RowError) as raised:
        read({"number": 3, "blank": " ", "text": "ants", "long": "x" * 1000})
    assert str(raised.value) == said


def test_the_boolq_of_another_folder_is_no_boolq(tmp_path: Path) -> None:
    """A folder of several sets, as ../shared/data, has each by its own name."""
    as_json(tmp_path / "boolq-test.json.gz", boolq_rows(2))
    as_json(tmp_path / "boolq-train.json.gz", boolq_rows(3))
    assert found(tmp_path, Source(("boolq",))) == ("boolq-train.json.gz", "boolq-test.json.gz")
    with pytest.raises(UsageError, match="has no data of it"):
        found(tmp_path, SOURCE)
