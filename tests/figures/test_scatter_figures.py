from __future__ import annotations

import pytest
from drawings import lines, notes, points
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.figure import NoDataError
from lorafa_prof.figures.kit.points import Point
from lorafa_prof.figures.kit.scatter import Axis, plain
from lorafa_prof.figures.memory_against_throughput import front

GIB = 2**30
PEAK = "peak_allocated_bytes"
SMALL, LARGE = {"model": "small", "params_total": 10**8}, {"model": "large", "params_total": 7 * 10**9}


def test_memory_stands_over_the_parameters_of_the_table(table):
    whole = {**LARGE, "method": "full-ft", "params_total": 6 * 10**9}
    rows = table({**SMALL, PEAK: 2 * GIB}, {**LARGE, PEAK: 61 * GIB}, whole)
    drawing = FIGURES["memory-over-model-size"].draw(rows)
    assert points(drawing, PEAK) == {"lora": [(1e8, 2), (7e9, 61)], "full-ft": [(6e9, 60)]}
    assert points(drawing, "activation_bytes")["lora"] == [(1e8, 42), (7e9, 42)]
    assert [axes.get_xscale() for axes in drawing.axes] == ["log", "log"]
    assert "Models: small 100M, large 6B." in notes(drawing)


def test_out_of_memory_stands_at_the_models_size_above_the_data(table):
    rows = table(SMALL, LARGE, {"model": "large", "method": "full-ft", "status": "oom"})
    drawing = FIGURES["memory-over-model-size"].draw(rows)
    ((xs, ys, joined),) = lines(drawing, f"oom:{PEAK}")
    assert xs == [7e9]
    assert not joined
    assert 0.9 < ys[0] < 1  # of the axes' height


def test_a_panel_for_each_context(table):
    rows = table(*({**model, "seq": seq} for model in (SMALL, LARGE) for seq in (512, 1024)))
    drawing = FIGURES["memory-over-model-size"].draw(rows)
    rows_of_panels = [axes.get_label().split(":")[0] for axes in drawing.axes[::2]]
    assert rows_of_panels == ["seq 512", "seq 1024"]


def test_one_model_or_none_of_known_size_is_nothing_to_draw(table):
    with pytest.raises(NoDataError, match="of one model"):
        FIGURES["memory-over-model-size"].draw(table(SMALL, {**SMALL, "method": "lora-fa"}))
    with pytest.raises(NoDataError, match="params_total"):
        FIGURES["memory-over-model-size"].draw(table({}, {"model": "other"}))


def test_throughput_stands_over_memory_and_the_front_joins_the_best(table):
    rows = table(
        {PEAK: 10 * GIB, "tokens_per_s": 1000.0},
        {"rank": 64, PEAK: 20 * GIB, "tokens_per_s": 900.0},
        {"method": "lora-fa", PEAK: 30 * GIB, "tokens_per_s": 3000.0},
        {"method": "full-ft", "status": "oom"},
    )
    drawing = FIGURES["memory-against-throughput"].draw(rows)
    assert points(drawing, "tokens_per_s") == {"lora": [(10, 1000), (20, 900)], "lora-fa": [(30, 3000)]}
    ((xs, ys, _),) = lines(drawing, "front")
    assert list(zip(xs, ys, strict=True)) == [(10, 1000), (30, 3000)]
    assert "no cell needs less and is as fast; from the least memory on: lora r8; lora-fa r8." in notes(
        drawing
    )
    assert "Not drawn: 1 cell without" in notes(drawing)


def test_another_sequence_length_or_gpu_is_another_task_and_another_batch_is_not(table):
    rows = table({}, {"batch": 4}, {"seq": 512}, {"gpu": "a100-40gb"})
    drawing = FIGURES["memory-against-throughput"].draw(rows)
    assert [axes.get_label().split(":")[0] for axes in drawing.axes] == [
        "llama-2-7b, seq 512, NVIDIA H100 80GB HBM3",
        "llama-2-7b, seq 1024, NVIDIA H100 80GB HBM3",
        "llama-2-7b, seq 1024, a100-40gb",
    ]
    assert [len(xs) for xs, _, _ in lines(drawing, "marks:tokens_per_s")] == [1, 2, 1]


def test_without_times_there_is_no_throughput(table):
    with pytest.raises(NoDataError, match="a predicted step is not timed"):
        FIGURES["memory-against-throughput"].draw(table({"tokens_per_s": None}))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1))
def test_the_front_is_what_nothing_is_better_than(places):
    cells = [
        Point(str(index), "m", "lora", "ok", "", {}, {PEAK: float(memory), "tokens_per_s": float(rate)})
        for index, (memory, rate) in enumerate(places)
    ]
    unbeaten = {
        place
        for place in places
        if not any(other != place and other[0] <= place[0] and other[1] >= place[1] for other in places)
    }
    found = [(point.values[PEAK], point.values["tokens_per_s"]) for point in front(cells)]
    assert set(found) == unbeaten
    assert found == sorted(found)
    assert len(found) == len(set(found))


@given(
    st.lists(st.floats(1e-9, 1e15), min_size=1),
    st.booleans(),
)
def test_axes_hold_their_values_and_have_few_ticks_that_they_hold(values, logarithmic):
    axis = Axis("x", plain, logarithmic)
    low, high = axis.limits(values)
    assert low < min(values) <= max(values) < high
    ticks = axis.ticks(low, high)
    assert len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)
