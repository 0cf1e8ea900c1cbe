from __future__ import annotations

import pytest
from recorded_cell import memory

from lorafa_prof.verification.residuals import (
    METRICS,
    Residual,
    is_exact,
    metric_residuals,
    metrics_of,
    phase_residuals,
)


def test_every_counter_at_every_point_of_every_phase():
    found = phase_residuals(memory(), memory())
    assert len({(one.phase, one.point, one.counter) for one in found}) == len(found) == 3 * 3 * 4
    assert is_exact(found)
    assert all(one.bytes.residual == 0 for one in found)


@pytest.mark.parametrize(
    ("counter", "exact"), [("allocated", False), ("requested", False), ("active", True), ("reserved", True)]
)
@pytest.mark.parametrize("point", ["start", "end", "peak"])
@pytest.mark.parametrize("phase", ["forward", "backward", "optimizer"])
def test_one_byte_anywhere_is_not_exact(phase, point, counter, exact):
    predicted = memory()
    predicted["phases"][phase][point][counter] -= 1
    found = phase_residuals(predicted, memory())
    assert is_exact(found) is exact
    (other,) = (one for one in found if one.bytes.residual)
    assert (other.phase, other.point, other.counter, other.bytes.residual) == (phase, point, counter, -1)


def test_a_counter_that_one_side_does_not_have_is_left_out():
    predicted = memory()
    predicted["phases"]["forward"]["end"]["active"] = None
    assert len(phase_residuals(predicted, memory())) == 35


def test_an_evaluation_has_its_own_phases_and_no_metrics_of_others():
    evaluation = memory()
    evaluation["phases"] = {
        "forward": evaluation["phases"]["forward"],
        "collect": evaluation["phases"]["backward"],
    }
    assert len(phase_residuals(evaluation, evaluation)) == 2 * 3 * 4
    assert set(metric_residuals(evaluation, evaluation)) == set(metrics_of(evaluation))
    absent = {"activation_bytes", "peak_backward_bytes", "peak_optimizer_bytes"}
    assert set(METRICS) - set(metrics_of(evaluation)) == absent
    trained = metrics_of(memory())
    assert metrics_of(evaluation)["peak_allocated_bytes"] == trained["peak_allocated_bytes"]


def test_metrics_by_hand():
    counters = ("allocated", "requested", "active", "reserved")
    phases = {
        phase: {
            point: {counter: base + shift + k for k, counter in enumerate(counters)}
            for shift, point in ((10, "start"), (20, "end"), (50, "peak"))
        }
        for base, phase in ((100, "forward"), (300, "backward"), (200, "optimizer"))
    }
    assert metrics_of({"phases": phases, "peak_reserved_bytes": 999}) == {
        "activation_bytes": 10,
        "peak_allocated_bytes": 350,
        "peak_forward_bytes": 150,
        "peak_backward_bytes": 350,
        "peak_optimizer_bytes": 250,
        "peak_requested_bytes": 351,
        "peak_reserved_bytes": 999,
    }


def test_residuals_are_predicted_less_measured():
    predicted = memory()
    predicted["peak_reserved_bytes"] += 2**21
    found = metric_residuals(predicted, memory())
    assert tuple(found) == METRICS
    assert found["peak_reserved_bytes"].residual == 2**21
    assert found["peak_reserved_bytes"].share == 2**21 / memory()["peak_reserved_bytes"]
    assert {pair.residual for name, pair in found.items() if name != "peak_reserved_bytes"} == {0}
    assert (Residual(0, 0).share, Residual(1, 0).share) == (0.0, 1.0)
