from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from histories import HELD
from outcomes import environment, on, result, write

from lorafa_prof.claims.baseline import baseline_id
from lorafa_prof.claims.metric import CLAIM_METRICS
from lorafa_prof.errors import UsageError
from lorafa_prof.history.history import changes_of
from lorafa_prof.history.of_runs import history_of_runs


def run(out: Path, day: int, *results: Any) -> Path:
    """The folder of a run that was written on that day."""
    write(out, *results)
    written = {"written": f"2026-11-{day:02}T10:00:00+00:00"}
    (out / "provenance.json").write_text(json.dumps(written))
    return out


def test_runs_follow_each_other_by_when_they_were(tmp_path):
    machine = environment() | {"source": {"commit": "abcdef0123"}}
    late = run(tmp_path / "a", 9, result(on("sim"), activation_bytes=3, machine=machine))
    early = run(tmp_path / "b", 2, result(on("sim"), activation_bytes=2))
    told = history_of_runs([late, early])
    assert [(moment.name, moment.subject) for moment in told.moments] == [
        ("b", ""),
        ("a", "lorafa-prof abcdef0"),
    ]
    key = (baseline_id(on("sim")), HELD)
    assert told.values(key) == [2, 3]
    assert (told.of, told.labels[key[0]], told.measured) == ("2 runs", "net lora r4 b1 s16", frozenset())


def test_seed_and_number_of_steps_do_not_keep_cells_apart_and_settings_do(tmp_path):
    first = run(tmp_path / "a", 1, result(on("sim"), activation_bytes=1))
    other = run(tmp_path / "b", 2, result(on("sim", seed=7), activation_bytes=1), result(on("sim", batch=2)))
    told = history_of_runs([first, other])
    assert told.values((baseline_id(on("sim")), HELD)) == [1, 1]
    assert set(told.labels.values()) == {"net lora r4 b1 s16", "net lora r4 b2 s16"}


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ({"status": "oom"}, "out of memory"),
        ({"status": "timeout"}, "timeout"),
        ({"retries": 1}, "its allocator gave cached blocks back"),
    ],
)
def test_a_value_that_stands_for_nothing_is_missing_and_why_is_told(tmp_path, worse, why):
    cell = on("cuda")
    first = run(tmp_path / "a", 1, result(cell, activation_bytes=1))
    second = run(tmp_path / "b", 2, result(cell, activation_bytes=2, **worse))
    told = history_of_runs([first, second])
    assert told.measured == {baseline_id(cell)}
    (change,) = changes_of(told)
    assert (change.after, change.why) == (None, why)


def test_a_row_that_is_not_of_its_cell_and_times_beside_others_are_missing(tmp_path):
    cell = on("cuda")
    wrong = result(cell, activation_bytes=1)
    wrong = wrong.model_copy(update={"row": {**wrong.row, "batch": 9}})
    beside = result(cell, step_ms_median=1.0, marks={"beside": "others were there"})
    columns = [CLAIM_METRICS[name] for name in (HELD, "step_ms_median")]
    told = history_of_runs([run(tmp_path / "a", 1, wrong), run(tmp_path / "b", 2, beside)], columns)
    assert told.series == []
    assert "batch differ" in told.moments[0].missing[baseline_id(cell), HELD]
    assert told.moments[1].missing[baseline_id(cell), "step_ms_median"] == "others were there"


def test_a_folder_that_does_not_say_when_it_was_is_one_line(tmp_path):
    out = run(tmp_path / "a", 1, result(on("sim"), activation_bytes=1))
    (out / "provenance.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be read as a record"):
        history_of_runs([out])
    (out / "provenance.json").unlink()
    with pytest.raises(UsageError, match="nobody knows when this run was"):
        history_of_runs([out])
