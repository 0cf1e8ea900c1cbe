from __future__ import annotations

import pytest
from cells import GPU
from outcomes import HOST, compared, environment, item, on, only, result, words

from lorafa_prof.comparing.metrics import DEFAULT_METRICS, Comparison
from lorafa_prof.comparing.tolerance import COMPARED, parse_tolerance

GIB = 2**30
MIB = 2**20
STEADY = [100.0, 100.1, 99.9, 100.0, 100.2]


def asked(*metrics: str, tolerance: tuple[str, ...] = (), across: tuple[str, ...] = ()) -> Comparison:
    return Comparison(
        tuple(COMPARED[name] for name in metrics), tuple(map(parse_tolerance, tolerance)), frozenset(across)
    )


def timed(kind: str = "cuda", factor: float = 1.0, **given):
    """A result whose steps take `factor` times 100 ms, and whose row follows from that."""
    times = [factor * ms for ms in STEADY]
    row = {"step_ms_median": 100 * factor, "tokens_per_s": 160 / factor, "mfu": 0.5 / factor}
    return result(on(kind), step_ms=times, phases_ms=times, **(row | given))


def test_on_the_twin_a_byte_counts():
    base = result(on("sim"), activation_bytes=GIB, saved_bytes=GIB, flops_step=10)
    new = result(on("sim"), activation_bytes=GIB + 1, saved_bytes=GIB, flops_step=9)
    judgement = compared(base, new)
    assert words(judgement) == {"activation_bytes": "worse", "saved_bytes": "same", "flops_step": "better"}
    assert only(judgement).word == "worse"
    assert judgement.exit_code == 3
    worse = item(judgement, "activation_bytes")
    assert (worse.measured, worse.expected, worse.note) == ("1.000 GiB", "1.000 GiB", "+1 B, +0.00 %")
    assert worse.value == GIB + 1


def test_on_a_gpu_what_its_allocator_does_by_itself_does_not():
    cell = on("cuda")
    base = result(cell, peak_allocated_bytes=GIB, peak_reserved_bytes=GIB, saved_bytes=GIB)

    def new(allocated: int, reserved: int, saved: int):
        row = {"peak_allocated_bytes": allocated, "peak_reserved_bytes": reserved, "saved_bytes": saved}
        return words(compared(base, result(cell, **{name: GIB + more for name, more in row.items()})))

    assert set(new(4 * MIB, -32 * MIB, 0).values()) == {"within tolerance", "same"}
    assert set(new(4 * MIB + 1, 32 * MIB + 1, 1).values()) == {"worse"}


def test_a_tolerance_that_is_given_counts():
    base, new = (result(on("sim"), activation_bytes=size) for size in (100 * MIB, 101 * MIB))
    assert compared(base, new, asked(tolerance=("1%",))).exit_code == 0
    assert compared(base, new, asked(tolerance=("0.9%",))).exit_code == 3
    assert compared(base, new, asked(tolerance=("activation_bytes=1MiB",))).exit_code == 0
    within = item(compared(base, new, asked(tolerance=("1%", "1MiB"))), "activation_bytes")
    assert within.note == "+1.000 MiB (+1,048,576 B), +1.00 %, tolerance 1 % and 1.000 MiB"


def test_times_are_judged_by_their_samples():
    assert words(compared(timed(), timed(factor=1.2))) == {"step_ms_median": "worse", "tokens_per_s": "worse"}
    assert words(compared(timed(), timed(factor=0.8))) == {
        "step_ms_median": "better",
        "tokens_per_s": "better",
    }
    within = compared(timed(), timed(factor=1.01))
    assert set(words(within).values()) == {"within tolerance"}
    assert "95 % interval" in item(within, "step_ms_median").note
    assert within.exit_code == 0


def test_noise_is_inconclusive_which_is_no_pass():
    noisy = result(on("cuda"), step_ms=[90, 95, 100, 110, 130], step_ms_median=100.0)
    other = result(on("cuda"), step_ms=[85, 95, 104, 110, 120], step_ms_median=104.0)
    judgement = compared(noisy, other)
    assert words(judgement) == {"step_ms_median": "inconclusive"}
    assert (only(judgement).state, judgement.exit_code) == ("unknown", 4)
    (note,) = judgement.notes
    assert note.startswith(
        "nothing could be compared: step_ms_median inconclusive: +4 ms, +4.00 %, 95 % interval"
    )
    assert "tolerance 5 %" in note


def test_a_record_set_against_itself_is_the_same_however_noisy():
    noisy = result(on("cuda"), step_ms=[90, 95, 100, 110, 130], step_ms_median=100.0)
    assert words(compared(noisy, noisy)) == {"step_ms_median": "same"}


def test_the_same_samples_or_the_same_median_alone_are_not_the_same():
    noisy = result(on("cuda"), step_ms=[90, 95, 100, 110, 130], step_ms_median=100.0)
    other_times = result(on("cuda"), step_ms=[80, 95, 100, 115, 140], step_ms_median=100.0)
    assert words(compared(noisy, other_times)) == {"step_ms_median": "inconclusive"}
    other_median = result(on("cuda"), step_ms=[90, 95, 100, 110, 130], step_ms_median=150.0)
    assert words(compared(noisy, other_median)) == {"step_ms_median": "worse"}


@pytest.mark.parametrize("pair", [(0.0, 100.0), (100.0, 0.0), (-1.0, 100.0), (100.0, -1.0)])
def test_a_time_of_nothing_on_either_side_has_no_ratio(pair):
    base, new = (result(on("cuda"), step_ms=STEADY, step_ms_median=ms) for ms in pair)
    said = item(compared(base, new), "step_ms_median")
    assert said.word == "inconclusive"
    assert ", 0 has no ratio, tolerance 5 %" in f", {said.note}"


def test_too_few_samples_are_inconclusive():
    few = result(on("cuda"), step_ms=[1.0, 1.0], step_ms_median=1.0)
    much = result(on("cuda"), step_ms=[9.0] * 9, step_ms_median=9.0)
    for base, new in ((few, much), (much, few), (few, few)):
        said = item(compared(base, new), "step_ms_median")
        assert said.word == "inconclusive"
        assert "2 samples, 5 are needed" in said.note
    without = result(on("cuda"), step_ms_median=1.0)
    assert item(compared(without, much), "step_ms_median").word == "inconclusive"


def test_a_time_floor_is_a_share_of_the_base():
    slower = timed(factor=1.08)
    assert words(compared(timed(), slower, asked("step_ms_median"))) == {"step_ms_median": "worse"}
    floor = asked("step_ms_median", tolerance=("step_ms_median=10 ms",))
    assert words(compared(timed(), slower, floor)) == {"step_ms_median": "within tolerance"}


def test_one_sample_of_energy_is_judged_by_its_share():
    base, new, worse = (result(on("cuda"), energy_j_per_token=j) for j in (1.0, 1.04, 1.06))
    assert words(compared(base, new, asked("energy_j_per_token"))) == {
        "energy_j_per_token": "within tolerance"
    }
    assert words(compared(base, worse, asked("energy_j_per_token"))) == {"energy_j_per_token": "worse"}


def test_without_a_metric_asked_for_those_are_compared_that_there_are():
    row = {column.name: 1 for column in COMPARED.values() if column.group == "memory"}
    found = words(compared(result(on("sim"), **row), result(on("sim"), **row)))
    assert set(found) == {column.name for column in DEFAULT_METRICS if column.group == "memory"}
    assert "params_total" not in found


def test_a_metric_that_new_lost_is_no_pass():
    base = result(on("cuda"), activation_bytes=1, saved_bytes=1)
    lost = compared(base, result(on("cuda"), activation_bytes=1))
    assert words(lost) == {"activation_bytes": "same", "saved_bytes": "gone"}
    assert lost.exit_code == 4
    assert only(lost).state == "unknown"
    assert item(lost, "saved_bytes").note == "no value in NEW: it was not measured there"
    gained = compared(result(on("cuda"), activation_bytes=1), base)
    assert words(gained) == {"activation_bytes": "same"}


def test_another_device_need_not_have_what_the_first_one_has():
    base, new = timed(activation_bytes=1), result(on("sim"), activation_bytes=1)
    assert words(compared(base, new, asked(across=("device",)))) == {"activation_bytes": "same"}


@pytest.mark.parametrize("metric", ["step_ms_median", "mfu", "energy_j_per_token"])
def test_the_twin_has_no_clock(metric):
    judgement = compared(result(on("sim")), result(on("sim")), asked(metric))
    said = item(judgement, metric)
    assert (said.word, said.note) == ("not comparable", "no value in BASE and NEW: the twin has no clock")
    assert judgement.exit_code == 4
    assert judgement.notes == (f"nothing could be compared: {metric} {said.word}: {said.note}",)


def test_why_a_value_is_missing_is_told_where_the_record_says_it():
    with_it = result(on("cuda"), energy_j_per_token=1.0)
    without = result(on("cuda"), unavailable={"energy": "the timed pass took 1 s"})
    said = item(compared(with_it, without, asked("energy_j_per_token")), "energy_j_per_token")
    assert said.note == "no value in NEW: the timed pass took 1 s"


@pytest.mark.parametrize("value", [None, "12", float("nan"), float("inf")])
def test_what_is_no_number_is_no_value(value):
    base = result(on("sim"), activation_bytes=1, saved_bytes=1)
    new = result(on("sim"), activation_bytes=1).model_copy()
    new.row["saved_bytes"] = value
    assert words(compared(base, new))["saved_bytes"] == "gone"


def test_on_another_cpu_times_are_not_compared_but_memory_is():
    base = timed("cpu", activation_bytes=1)
    new = timed("cpu", activation_bytes=1, machine=environment(host=HOST | {"cpu": "another"}))
    found = words(compared(base, new))
    assert found == {
        "activation_bytes": "same", "step_ms_median": "not comparable", "tokens_per_s": "not comparable",
    }  # fmt: skip
    said = item(compared(base, new), "tokens_per_s")
    assert "a CPU with 2 cores → another with 2 cores" in said.note
    assert said.measured == said.expected == "160 tokens/s"
    assert "not comparable" not in words(compared(base, new, asked(across=("cpu",)))).values()


def test_times_that_something_disturbed_are_inconclusive_and_memory_is_compared():
    def beside(other):
        marks = {"marks": {"beside": "measured beside process 7"}}
        return other.model_copy(update={"details": other.details | marks})

    well, disturbed = timed(activation_bytes=1), beside(timed(activation_bytes=1))
    for base, new, who in ((disturbed, well, "BASE"), (well, disturbed, "NEW")):
        judgement = compared(base, new)
        assert words(judgement) == {
            "activation_bytes": "same", "step_ms_median": "inconclusive", "tokens_per_s": "inconclusive",
        }  # fmt: skip
        said = item(judgement, "step_ms_median")
        assert (said.note, said.measured, said.expected, said.value) == (
            f"{who}: measured beside process 7",
            "100 ms",
            "100 ms",
            100.0,
        )


def test_what_is_not_compared_shows_what_there_is():
    base = result(on("cuda"), activation_bytes=MIB)
    lost = item(compared(base, result(on("cuda"))), "activation_bytes")
    assert (lost.measured, lost.expected, lost.value) == ("", "1.000 MiB", None)
    gained = item(compared(result(on("cuda")), base, asked("activation_bytes")), "activation_bytes")
    assert (gained.measured, gained.expected, gained.value) == ("1.000 MiB", "", MIB)
    assert item(compared(base, base), "activation_bytes").note == ""
    without = compared(
        result(on("cuda"), unavailable={"energy": "no clock"}),
        result(on("cuda"), unavailable={"energy": "no meter"}),
        asked("energy_j_per_token"),
    )
    assert item(without, "energy_j_per_token").note == "no value in BASE and NEW: no clock; no meter"


def test_a_base_of_nothing_has_no_ratio():
    base, new = result(on("sim"), optimizer_bytes=0), result(on("sim"), optimizer_bytes=2048)
    said = item(compared(base, new), "optimizer_bytes")
    assert (said.word, said.note) == ("worse", "+2.000 KiB (+2,048 B)")
    assert words(compared(base, base)) == {"optimizer_bytes": "same"}
    still = result(on("cuda"), step_ms=STEADY, step_ms_median=0.0)
    assert item(compared(still, still), "step_ms_median").word == "inconclusive"


def test_a_gpu_on_one_side_is_enough_for_its_tolerance():
    predicted, measured = (
        result(on("sim"), peak_allocated_bytes=GIB),
        result(on("cuda", GPU), peak_allocated_bytes=GIB + MIB),
    )
    for base, new in ((predicted, measured), (measured, predicted)):
        found = words(compared(base, new, asked(across=("device",))))
        assert found == {"peak_allocated_bytes": "within tolerance"}


@pytest.mark.parametrize("marked", ["BASE", "NEW"])
def test_what_a_mark_disturbs_is_inconclusive_on_either_side_and_memory_is_compared(marked):
    row = {"activation_bytes": GIB, "device_used_bytes": GIB, "energy_j_per_token": 1.0}
    sides = [
        timed(**row, marks={"beside": "measured beside 7"} if name == marked else {})
        for name in ("BASE", "NEW")
    ]
    metrics = ("step_ms_median", "mfu", "energy_j_per_token", "device_used_bytes", "activation_bytes")
    judgement = compared(*sides, asked(*metrics))
    assert words(judgement) == {**dict.fromkeys(metrics[:-1], "inconclusive"), "activation_bytes": "same"}
    assert {item(judgement, name).note for name in metrics[:-1]} == {f"{marked}: measured beside 7"}


def test_weak_samples_are_left_to_the_interval():
    marks = {"unsteady": "unsteady times"}
    assert words(compared(timed(marks=marks), timed(), asked("step_ms_median"))) == {"step_ms_median": "same"}


def test_a_clock_that_is_too_coarse_tells_nothing():
    coarse = result(on("cuda"), step_ms=[0.0, 0.0, 1.0, 1.0, 1.0], step_ms_median=1.0)
    well = result(on("cuda"), step_ms=STEADY, step_ms_median=100.0)
    for base, new in ((coarse, well), (well, coarse)):
        said = item(compared(base, new), "step_ms_median")
        assert said.word == "inconclusive"
        assert "some of the samples are 0 ms: the clock is too coarse" in said.note
