"""What marks of rows do to claims on them: disturbed values are not judged, weak ones are told of."""

from __future__ import annotations

from typing import Any

import pytest
from claimed import cell, judged, only, result
from gates import KEPT, OF, gate, records, saved

from lorafa_prof.claims.gate import judged as judge
from lorafa_prof.claims.gate import update_baseline
from lorafa_prof.claims.marked import Marked
from lorafa_prof.claims.trust import Doubts, stored_doubts
from lorafa_prof.errors import UsageError
from lorafa_prof.results.columns import METRICS
from lorafa_prof.results.marks import DISTURBED, MEANINGS
from lorafa_prof.results.record import CellResult

TIMES = {"step_ms_p05": 90.0, "step_ms_median": 100.0, "step_ms_p95": 150.0, "tokens_per_s": 50.0}
ROW: dict[str, Any] = {column.name: 10 for column in METRICS} | TIMES
OF_TIME = {column.name for column in METRICS if column.group in ("time", "energy")} | {"mfu"}
OF_THE_ALLOCATOR = {name for name in ROW if name.startswith("peak_")} | {"activation_bytes"}
REFUSED = {
    "beside": OF_TIME | {"device_used_bytes"},
    "clocks": OF_TIME,
    "retries": OF_TIME | OF_THE_ALLOCATOR | {"device_used_bytes"},
}
UNSTEADY = {"unsteady": "unsteady times: the 95th percentile is 1.67 times the 5th"}


def row(*marks: str, method: str = "lora-fa", **more: Any) -> CellResult:
    return result(cell(method, device="cuda"), marks={mark: f"why {mark}" for mark in marks}, **ROW, **more)


@pytest.mark.parametrize("mark", DISTURBED)
@pytest.mark.parametrize("metric", [column.name for column in METRICS])
def test_a_value_that_a_mark_disturbs_is_not_judged_and_any_other_is_as_before(mark, metric):
    _, item = only(judged({"metric": metric, "at_most": 1000}, of=[row(mark)]))
    if metric in REFUSED[mark]:
        assert (item.state, item.value) == ("unknown", None)
        assert item.note == f"why {mark}; measure it again, or --marked keep judges it as it is"
    else:
        assert (item.state, item.note) == ("pass", "")


@pytest.mark.parametrize("marked", [{"of": {"method": "lora-fa"}}, {"of": {"method": "lora"}}])
def test_of_a_pair_either_sides_mark_counts_and_is_named(marked):
    other = "lora" if marked["of"]["method"] == "lora-fa" else "lora-fa"
    claim = {**marked, "metric": "tokens_per_s", "relative_to": {"method": other}, "at_most": 9}
    _, item = only(judged(claim, of=[row("clocks"), row(method="lora")]))
    assert item.state == "unknown"
    assert "lora-fa" in item.note
    assert "why clocks" in item.note


@pytest.mark.parametrize("metric", ["fits", "weights_bytes", "saved_bytes", "host_rss_bytes", "flops_step"])
def test_what_no_mark_touches_is_judged_whatever_the_marks(metric):
    _, item = only(judged({"metric": metric, "at_least": 1}, of=[row(*MEANINGS)]))
    assert (item.state, item.note) == ("pass", "")


def test_few_samples_are_judged_and_told_in_the_line_also_of_what_fails():
    for bound, state in ((1000, "pass"), (5, "fail")):
        _, item = only(judged({"metric": "forward_ms", "at_most": bound}, of=[row("samples")]))
        assert item.state == state
        assert item.note.endswith("why samples")


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ({"metric": "step_ms_median", "at_most": 120}, True),
        ({"metric": "step_ms_median", "at_most": 120, "tolerance": "30 %"}, False),
        ({"metric": "step_ms_median", "at_most": 151}, False),
        ({"metric": "step_ms_median", "at_most": 80}, False),
        ({"metric": "step_ms_median", "at_most": 95}, True),
        ({"metric": "tokens_per_s", "at_least": 40}, True),
        ({"metric": "tokens_per_s", "at_least": 33}, False),
        ({"metric": "tokens_per_s", "at_most": 54}, True),
        ({"metric": "forward_ms", "at_most": 1000}, True),
        ({"metric": "activation_bytes", "at_most": 1000}, False),
    ],
)
def test_unsteady_samples_are_told_unless_the_verdict_is_the_same_for_all_of_them(claim, told):
    _, item = only(judged(claim, of=[row("unsteady")]))
    assert ("why unsteady" in item.note) == told


def test_unsteady_times_without_percentiles_are_told():
    bare = result(cell(device="cuda"), marks=UNSTEADY, step_ms_median=100.0)
    _, item = only(judged({"metric": "step_ms_median", "at_most": 1000}, of=[bare]))
    assert item.note == UNSTEADY["unsteady"]


TIMED = gate({"metric": "step_ms_median", "at_most": 1000}, {"metric": "activation_bytes", "at_most": 1000})


def timed(marks: dict[str, str]) -> dict[str, CellResult]:
    """Results of the gate's cells; the first is marked."""
    cells = [plan.cell for plan in TIMED.planned]
    made = [
        result(each, marks=marks if number == 0 else None, step_ms_median=10.0, activation_bytes=5)
        for number, each in enumerate(cells)
    ]
    return {each.cell.cell_id: each for each in made}


@pytest.mark.parametrize(("marked", "code"), [("refuse", 4), ("keep", 0)])
def test_stored_results_keep_their_marks_and_the_exit_code_follows(store, marked: Marked, code):
    kept = timed({"beside": "measured beside python"})
    loaded = saved(store, kept).load_all(list(kept))
    doubts = stored_doubts(loaded, "keep", marked=marked)
    found = judge(TIMED, loaded, store, None, doubts)
    assert found.exit_code == code
    times, memory = found.findings
    assert memory.state == "pass"
    notes = [item.note for item in times.items]
    assert "measured beside python" in notes[0]
    assert notes[0].startswith("MARKED, judged because of --marked keep: ") == (marked == "keep")
    assert notes[1:] == ["", "", ""]


@pytest.mark.parametrize("again", ["again", "keep"])
def test_both_kinds_of_doubt_take_the_override(again):
    assert stored_doubts({}, again, marked="keep").marked == "keep"
    assert stored_doubts({}, again).marked == Doubts().marked == "refuse"


def test_no_disturbed_value_becomes_the_baseline_unless_asked(store, tmp_path):
    of = gate(KEPT)
    kept = records(OF, 1, 2, 3, 4)
    first = next(iter(kept))
    kept[first] = kept[first].model_copy(update={"details": {"marks": {"retries": "retried 3 times"}}})
    saved(store, kept)
    with pytest.raises(UsageError, match=r"left as it is: .*, activation_bytes: retried 3 times; measure"):
        update_baseline(of, store, tmp_path / "b.json", Doubts())
    assert update_baseline(of, store, tmp_path / "b.json", Doubts(marked="keep")).cells
