from __future__ import annotations

import math
from dataclasses import replace

from histories import HELD, PEAK, history

from lorafa_prof.history.history import Change, changes_of, moved, of_cells
from lorafa_prof.history.records import HEADER, history_json, history_rows
from lorafa_prof.history.text import change_text, conclusion, history_text, new_versions

A, B = ("a", HELD), ("b", HELD)


def test_a_change_is_told_of_the_moment_in_which_it_came():
    told = history({A: 10, B: 5}, {A: 10, B: 5}, {A: 12, B: 5}, {A: 12, B: 5})
    assert changes_of(told) == [Change(A, 2, 10, 12)]
    assert moved(changes_of(told)) == [A]
    assert math.isclose(changes_of(told)[0].share or 0, 0.2)


def test_what_comes_and_goes_is_told_too():
    told = history({A: 10}, {B: 1}, {A: 10}, {A: 11}, {}, {A: 12})
    assert changes_of(told) == [
        Change(A, 1, 10, None),
        Change(B, 1, None, 1),
        Change(A, 2, None, 10),
        Change(B, 2, 1, None),
        Change(A, 3, 10, 11),
        Change(A, 4, 11, None),
        Change(A, 5, 11, 12),
    ]
    assert moved(changes_of(told)) == [A]


def test_of_a_gpu_only_what_is_beyond_the_tolerance_counts_however_it_came_together():
    mib = 2**20
    states = [{("a", PEAK): (100 + 2 * step) * mib} for step in range(5)]
    assert len(changes_of(history(*states))) == 4
    # 4 MiB are within the tolerance, and the third step is 6 MiB away from where it started.
    measured = history(*states, measured="a")
    assert [change.at for change in changes_of(measured)] == [3]


def test_the_furthest_comes_first_and_what_was_nothing_before_all():
    told = history({A: 10, B: 10, ("c", HELD): 0}, {A: 11, B: 5, ("c", HELD): 1})
    assert moved(changes_of(told)) == [("c", HELD), B, A]
    assert changes_of(told)[2].share is None


def test_text_says_what_came_of_it_then_each_moment():
    told = history({A: 1024, B: 5, ("b", PEAK): 5}, {A: 1536, B: 5, ("b", PEAK): 5}, {A: 1536})
    assert history_text(told, None).splitlines() == [
        "b.json: 3 states, 2026-11-01 to 2026-11-03",
        f"1 of 3 values moved. The largest change: {HELD} of a, +512 B, +50.00 %, in c2 (Change 2).",
        "",
        "2026-11-02  c2  Change 2",
        f"  a  {HELD}  +512 B, +50.00 %",
        "",
        "2026-11-03  c3  Change 3",
        "  b  2 values  gone",
    ]


def test_nothing_that_moved_and_nothing_to_move_are_said():
    still = history({A: 1}, {A: 1})
    assert conclusion(still, changes_of(still)) == "None of 1 value moved."
    assert "one state is no history" in conclusion(history({A: 1}), [])


def test_changes_are_said_with_their_amount_or_why_not():
    assert change_text(Change(A, 1, 0, 2048)) == "+2.000 KiB"
    assert change_text(Change(A, 1, 2048, 1024)) == "-1.000 KiB, -50.00 %"
    assert change_text(Change(A, 1, 1, None, "out of memory")) == "gone: out of memory"
    assert change_text(Change(A, 1, None, 2048)) == "new: 2.000 KiB"


def test_many_changes_of_one_moment_are_cut_short():
    cells = [(f"c{number:02}", HELD) for number in range(12)]
    text = history_text(history(dict.fromkeys(cells, 1), dict.fromkeys(cells, 2)), None)
    assert "  and 4 more" in text.splitlines()


def test_records_have_every_value_and_change():
    told = history({A: 1, B: 2}, {A: 3})
    rows = list(history_rows(told))
    assert rows[0] == HEADER
    assert rows[1:] == [
        ("c1", "2026-11-01T10:00:00+00:00", "Change 1", "a", "a", HELD, "bytes", 1),
        ("c1", "2026-11-01T10:00:00+00:00", "Change 1", "b", "b", HELD, "bytes", 2),
        ("c2", "2026-11-02T10:00:00+00:00", "Change 2", "a", "a", HELD, "bytes", 3),
    ]
    record = history_json(told)
    assert [series["values"] for series in record["series"]] == [[1, 3], [2, None]]
    assert [(change["state"], change["before"], change["after"]) for change in record["changes"]] == [
        ("c2", 1, 3),
        ("c2", 2, None),
    ]
    assert of_cells(told, {"b"}).series == [B]


def test_versions_that_are_new_are_told_of_their_moment():
    told = history({A: 1}, {A: 1})
    first, second = told.moments
    before = {"torch": "2.13.0", "peft": None, "transformers": "5.17.0"}
    after = {"torch": "2.14.0+cpu", "peft": "0.21.0", "transformers": "5.17.0+local", "new": "1"}
    told = replace(told, moments=(replace(first, packages=before), replace(second, packages=after)))
    assert new_versions(told, 0) == ""
    assert new_versions(told, 1) == "torch 2.13.0 → 2.14.0, peft none → 0.21.0"
    assert history_text(told, None).splitlines()[3:] == [
        "2026-11-02  c2  Change 2",
        "  with torch 2.13.0 → 2.14.0, peft none → 0.21.0",
        "  nothing moved",
    ]
