from __future__ import annotations

import pytest

from lorafa_prof.results.marks import beside, disturbance, retried, sampled, slowed


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
    marks = sampled([1.0]) | slowed(["heat"]) | beside(["process 7"])
    assert disturbance({"marks": marks}) == "measured beside process 7 on the GPU: its times are no row's"
    assert disturbance({"marks": retried(2)}) == "the allocator had to retry 2 times: compare to no other row"
    assert beside(["process 7", "process 8"])["beside"].startswith("measured beside process 7, process 8 on")
    assert slowed(["heat", "power"])["clocks"] == "the GPU's clocks were lowered: heat, power"
    assert disturbance({"marks": slowed(["heat"])}) == "the GPU's clocks were lowered: heat"
    assert disturbance({"marks": sampled([1.0])}) is None, "samples are judged by their interval"
    assert disturbance({}) is disturbance({"marks": "odd"}) is None
