"""Names at the lines and points they name, and how many lines a panel has."""

from __future__ import annotations

import itertools

import pytest
from drawings import assert_legible, by_gid, lines, notes, texts
from hypothesis import given
from hypothesis import strategies as st

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.kit.beside import Box, places_beside
from lorafa_prof.figures.kit.end_labels import heights_apart

GIB = 2**30
PEAK = "peak_allocated_bytes"


@given(st.lists(st.floats(0, 10), min_size=1, max_size=8))
def test_names_keep_their_order_and_distance_and_stay_within(wanted):
    wanted = sorted(wanted)
    found = heights_apart(wanted, 0, 10, 1)
    assert found is not None
    assert all(upper - lower >= 1 - 1e-9 for lower, upper in itertools.pairwise(found))
    assert found[0] >= -1e-9
    assert found[-1] <= 10 + 1e-9


def test_names_with_room_stay_where_they_are_and_others_move_as_little_as_they_can():
    assert heights_apart([1, 3, 9], 0, 10, 1) == [1, 3, 9]
    assert heights_apart([5, 5], 0, 10, 1) == [4.5, 5.5]
    assert heights_apart([0, 0], 0, 10, 1) == [0, 1]
    assert heights_apart([0, 0, 0], 0, 1.5, 1) is None


def test_lines_have_their_names_at_their_ends_in_place_of_a_legend(table):
    rows = [{"method": method, "seq": seq} for method in ("lora", "lora-fa") for seq in (512, 1024)]
    drawing = FIGURES["memory-over-seq"].draw(table(*rows, {"method": "full-ft", "status": "oom"}))
    assert drawing.legends == []
    assert sorted(text for text in texts(drawing) if text in ("lora", "lora-fa", "full-ft")) == [
        "full-ft",
        "lora",
        "lora-fa",
    ]
    assert_legible(drawing)


def test_long_names_are_a_legend(table):
    rows = [{"method": f"{'long-' * 9}{number}", "seq": seq} for number in (1, 2) for seq in (512, 1024)]
    drawing = FIGURES["memory-over-seq"].draw(table(*rows))
    assert len(drawing.legends) == 1


def test_a_panel_has_six_lines_at_most_and_methods_without_the_setting_are_in_each(table):
    rows = [
        {"method": method, "rank": rank, "seq": seq, PEAK: (seq + rank) * GIB}
        for method in ("lora", "lora-fa")
        for rank in (8, 16, 32, 64)
        for seq in (1, 2)
    ]
    full = [{"method": "full-ft", "seq": seq} for seq in (1, 2)]
    drawing = FIGURES["memory-over-seq"].draw(table(*rows, *full))
    peaks = [axes for axes in drawing.axes if axes.get_label().endswith(PEAK)]
    assert [axes.get_label().split(":")[0] for axes in peaks] == [
        f"llama-2-7b, r{n}" for n in (8, 16, 32, 64)
    ]
    assert [sum((line.get_gid() or "").startswith(PEAK) for line in axes.lines) for axes in peaks] == [3] * 4


def test_lines_that_no_setting_tells_apart_are_left_out_from_the_seventh_on(table):
    rows = table(*({"method": f"m{number}", "seq": seq} for number in range(8) for seq in (1, 2)))
    drawing = FIGURES["memory-over-seq"].draw(rows)
    assert len(lines(drawing, PEAK)) == 6
    assert "Not drawn, for want of room: 4 of 16 cells." in notes(drawing)


def test_the_axis_of_ranks_is_logarithmic_however_near_they_are(table):
    drawing = FIGURES["memory-over-rank"].draw(table({"rank": 8}, {"rank": 16}))
    assert {axes.get_xscale() for axes in drawing.axes} == {"log"}


def test_a_name_stands_beside_its_point_where_it_touches_nothing():
    assert places_beside([((1, 1), 0.5)], [(1, 1)], [], 0.1, 3, 2) == [(pytest.approx(1.055), 1)]
    # Another point is right of it.
    assert places_beside([((1, 1), 0.5)], [(1, 1), (1.2, 1)], [], 0.1, 3, 2) == [(pytest.approx(0.445), 1)]
    # A step goes right and up from it, the edge is left of it.
    ((left, middle),) = places_beside([((0.3, 1), 0.5)], [(0.3, 1)], [(0.3, 1), (2, 1.5)], 0.1, 3, 2)
    assert (left, middle) == (pytest.approx(0.05), pytest.approx(1.105))
    assert places_beside([((0.1, 0.1), 0.5)], [(0.1, 0.1)], [], 0.1, 0.2, 0.2) == [None]
    assert not Box(0, 0, 1, 1).overlaps(Box(1, 0, 2, 1))


def test_what_is_on_the_front_is_named_at_its_point(table):
    rows = table(
        {PEAK: 10 * GIB, "tokens_per_s": 100.0},
        {PEAK: 30 * GIB, "tokens_per_s": 300.0, "method": "full-ft"},
        {PEAK: 40 * GIB, "tokens_per_s": 50.0, "method": "lora-fa"},
    )
    drawing = FIGURES["memory-against-throughput"].draw(rows)
    named = [text for text in drawing.axes[0].texts if (text.get_gid() or "").startswith("name:")]
    assert {text.get_text() for text in named} == {"lora", "full-ft"}
    assert by_gid(drawing, "front:")
    assert_legible(drawing)
