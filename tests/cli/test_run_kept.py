"""What `lorafa-prof run` does with the records that it finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from told_runs import LABELS, provenance, record, table

from lorafa_prof.results.provenance import environment


@pytest.mark.parametrize("arguments", [[], ["-k", "full"], ["--dry-run"]])
def test_a_damaged_record_ends_a_run_before_it_begins(run, arguments):
    run("--no-figures")
    damaged = record(run, LABELS[2])
    before = table()
    damaged.write_text(damaged.read_text()[:100])
    assert run("--no-figures", *arguments) == 2
    assert run.measured == []
    assert run.out == ""
    assert run.err.startswith(f"lorafa-prof: {damaged}: this record is damaged")
    assert len(run.err.splitlines()) == 1
    assert table() == before
    # What it says to do.
    assert run("--no-figures", "--rerun", "failed") == 0
    assert run.labels == LABELS[2:]
    assert table() == before


def test_rerun_all_replaces_damaged_records_too(run):
    run("--no-figures")
    for label in LABELS:
        record(run, label).write_text("{")
    assert run("--no-figures", "--rerun", "all") == 0
    assert run.labels == LABELS
    assert len(table()) == 3


def test_records_of_another_scenario_stay_and_are_told(run):
    run("--no-figures")
    first = sorted(Path("out/mine/cells").iterdir())
    assert run("--no-figures", "--set", "batch=2") == 0
    (note,) = (line for line in run.err.splitlines() if line.startswith("note: "))
    assert re.fullmatch(
        r"note: 3 records in out/mine/cells of other settings or of another scenario \(such as "
        r"tiny-llama_\S+\): kept there, but not in results\.csv",
        note,
    )
    assert {row["batch"] for row in table()} == {"2"}
    assert set(first) < set(Path("out/mine/cells").iterdir())
    run("--no-figures", "--set", "batch=[1, 2]")
    assert run.measured == []
    assert "note: " not in run.err
    assert len(table()) == 6


def test_a_run_that_goes_on_elsewhere_says_so(run):
    run.environment = {**run.environment, "packages": {**run.environment["packages"], "torch": "1.2.3"}}
    run("--no-figures", "-k", "full")
    run.environment = environment("cpu")
    assert run("--no-figures") == 0
    (note,) = (line for line in run.err.splitlines() if line.startswith("note: "))
    assert note.startswith("note: 1 kept cell was measured with torch 1.2.3 (now 2.")
    assert len(provenance()["environments"]) == 2
    # Not where nothing of it is kept.
    assert run("--no-figures", "--rerun", "all") == 0
    assert "note: " not in run.err
