from __future__ import annotations

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.results.marks import (
    DISTURBED,
    MEANINGS,
    against,
    beside,
    disturbance,
    legend,
    marks_in,
    meanings,
    read,
    retried,
    sampled,
    slowed,
    written,
)
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import without_details


@pytest.mark.parametrize(
    ("step_ms", "mark"),
    [
        ([10.0] * 4, {"samples": "4 timed steps are too few: steps.timed of 5 or more"}),
        ([10.0, 10.5, 11.0, 11.5, 11.9], {}),
        ([10.0] * 9 + [30.0], {"unsteady": "unsteady times: the 95th percentile is 2.10 times the 5th"}),
        ([0.0, 0.0, 0.0, 0.0, 0.0], {}),
        ([1.0, *[10.0] * 19], {}),  # a twentieth is no more than the 5th percentile leaves out
        (
            [0.0] * 9 + [1.0],
            {"unsteady": "unsteady times: the 95th percentile is 550000000.00 times the 5th"},
        ),
    ],
)
def test_times_of_too_few_or_unsteady_samples_are_marked(step_ms, mark):
    assert sampled(step_ms) == mark


def test_what_disturbs_is_marked_and_found_again_in_a_record():
    assert beside([]) == slowed([]) == retried(0) == {}
    marks = marks_in({"marks": sampled([1.0]) | slowed(["heat"]) | beside(["process 7"])})
    heat = "the GPU's clocks were lowered: heat"
    beside_it = "measured beside process 7 on the GPU: its times are no row's"
    assert disturbance("forward_ms", marks) == disturbance("mfu", marks) == f"{beside_it}; {heat}"
    assert disturbance("device_used_bytes", marks) == beside_it
    assert disturbance("peak_reserved_bytes", marks) == disturbance("model", marks) == ""
    assert disturbance("forward_ms", sampled([1.0])) == "", "samples are judged by their interval"
    assert marks_in({}) == marks_in({"marks": "odd"}) == {}


def test_weak_samples_speak_against_times_and_retries_against_what_the_allocator_counts():
    everything = tuple(MEANINGS)
    assert against("tokens_per_s", everything) == against("energy_j_per_token", everything) == everything
    assert (
        against("peak_allocated_bytes", everything) == against("activation_bytes", everything) == ("retries",)
    )
    for name in ("weights_bytes", "saved_bytes", "host_rss_bytes", "flops_step", "params_total", "nothing"):
        assert against(name, everything) == ()


def test_names_of_marks_are_words_of_the_table_and_each_has_a_meaning():
    assert read(written(MEANINGS) or "") == tuple(MEANINGS)
    assert written([]) is None
    assert read("") == ()
    assert legend([]) == legend(["of-later"]) == meanings([]) == ""
    assert legend(["unsteady", "beside"]).endswith(
        "beside: measured beside others, unsteady: unsteady samples (docs/results.md)"
    )
    assert set(DISTURBED) < set(MEANINGS)


def test_the_table_and_a_result_without_details_have_the_marks_of_the_record():
    marks = {"beside": "measured beside 7", "unsteady": "why"}
    full = CellResult(cell=tiny_cell(), row={"status": "ok"}, details={"marks": marks, "saved": {}})
    assert full.table_row()["marks"] == without_details(full).table_row()["marks"] == "beside unsteady"
    assert without_details(full).details == {"marks": marks}
    bare = full.model_copy(update={"details": {"saved": {}}})
    assert bare.table_row()["marks"] is None
    assert without_details(bare).details == {}


def test_a_mark_names_everyone_and_every_reason():
    assert beside(["process 7", "process 8"])["beside"].startswith("measured beside process 7, process 8 on")
    assert slowed(["heat", "power"])["clocks"] == "the GPU's clocks were lowered: heat, power"
    assert retried(2)["retries"] == "the allocator had to retry 2 times: compare to no other row"
