"""A value of a marked row is drawn as one where the mark speaks against it, and a line says so."""

from __future__ import annotations

from typing import Any

import pytest
from drawings import assert_legible, by_gid, notes

from lorafa_prof.figures import FIGURES
from lorafa_prof.figures.kit.style import looks

GIB = 2**30
RESERVED = "peak_reserved_bytes"


def drawn(table, figure: str, *rows: dict[str, Any]):
    return FIGURES[figure].draw(table(*rows))


def ringed(drawing) -> dict[str, list[tuple[float, float]]]:
    return {
        gid: list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for gid, line in by_gid(drawing, "marked:").items()
    }


@pytest.mark.parametrize(
    ("mark", "meaning"),
    [
        ("beside", "measured beside others"),
        ("clocks", "clocks lowered"),
        ("retries", "allocator retried"),
        ("samples", "few samples"),
        ("unsteady", "unsteady samples"),
    ],
)
def test_a_bar_of_throughput_is_hatched_and_a_note_says_why(table, mark, meaning):
    drawing = drawn(table, "throughput", {}, {"method": "lora-fa", "marks": mark})
    (gid,) = by_gid(drawing, "marked:")
    (bar,) = by_gid(drawing, "marked:").values()
    assert gid == "marked:cell1"
    assert bar.get_hatch()
    assert bar.get_width() == 12800
    assert f"Hatched, and worth less than the others: {meaning}." in notes(drawing)
    assert_legible(drawing)


def test_memory_is_hatched_for_allocator_retries_alone(table):
    for mark, hatched in (("beside clocks samples unsteady", False), ("unsteady retries", True)):
        drawing = drawn(table, "memory-by-method", {}, {"method": "lora-fa", "marks": mark})
        assert (list(by_gid(drawing, "marked:")) == ["marked:cell1"]) == hatched
        assert ("Hatched, and worth less than the others: allocator retried." in notes(drawing)) == hatched
        assert "unsteady" not in notes(drawing)


@pytest.mark.parametrize("figure", ["memory-over-batch", "memory-over-rank"])
def test_a_point_on_a_line_is_ringed(table, figure):
    axis = figure.removeprefix("memory-over-")
    rows = [{axis: 4}, {axis: 8, "marks": "retries"}, {axis: 16, "marks": "beside unsteady"}]
    drawing = drawn(table, figure, *rows)
    assert ringed(drawing) == {
        "marked:peak_allocated_bytes:cell1": [(8, 60)],
        "marked:activation_bytes:cell1": [(8, 42)],
    }
    assert "Ringed, and worth less than the others: allocator retried." in notes(drawing)
    assert_legible(drawing)


def test_a_level_line_is_ringed_in_its_middle(table):
    full = {"method": "full-ft", "marks": "retries"}
    found = ringed(drawn(table, "memory-over-rank", {"rank": 4}, {"rank": 8}, full))
    assert found["marked:peak_allocated_bytes:cell2"] == [(0.5, 60)]


def test_a_ring_is_of_the_methods_colour_and_larger_than_its_marker(table):
    drawing = drawn(table, "memory-over-batch", {"batch": 4}, {"batch": 8, "marks": "retries"})
    ring = by_gid(drawing, "marked:peak")["marked:peak_allocated_bytes:cell1"]
    line = by_gid(drawing, "peak_allocated_bytes:")["peak_allocated_bytes:cell0"]
    assert ring.get_markersize() > 2 * line.get_markersize()
    assert ring.get_markeredgecolor() == line.get_color()
    assert ring.get_markerfacecolor() == "none"


def test_a_point_of_memory_and_throughput_is_ringed_for_either(table):
    rows = [{"batch": 2}, {"batch": 4, "marks": "unsteady", "tokens_per_s": 90.0}]
    rows += [{"batch": 8, "marks": "retries", "tokens_per_s": 80.0}]
    drawing = drawn(table, "memory-against-throughput", *rows)
    assert ringed(drawing) == {"marked:tokens_per_s:lora": [(60, 90), (60, 80)]}
    assert "less than the others: allocator retried / unsteady samples." in notes(drawing)
    assert (
        looks(["lora"])["lora"].color
        == by_gid(drawing, "marked:")["marked:tokens_per_s:lora"].get_markeredgecolor()
    )


def test_over_model_size_points_are_ringed(table):
    rows = [{"model": "small", "params_total": 10**8, "marks": "retries"}]
    rows += [{"model": "large", "params_total": 10**9, "marks": "beside"}]
    found = ringed(drawn(table, "memory-over-model-size", *rows))
    assert found == {
        "marked:peak_allocated_bytes:lora": [(1e8, 60)],
        "marked:activation_bytes:lora": [(1e8, 42)],
    }


def test_of_a_budget_the_cell_counts_that_decides_it(table):
    small = {"batch": 1, RESERVED: 7 * GIB, "tokens_per_s": 100.0, "marks": "unsteady"}
    large = {"batch": 2, RESERVED: 13 * GIB, "tokens_per_s": 200.0, "marks": "retries"}
    last = {"batch": 4, RESERVED: 100 * GIB, "tokens_per_s": 300.0}
    found = ringed(drawn(table, "batch-per-budget", small, large, last))
    budgets = {gid.split(":")[1]: [x for x, _ in places] for gid, places in found.items()}
    fitting = [8, 12, 16, 24, 32, 40, 48, 80, 96]
    assert budgets == {"tokens_per_s": fitting, "batch": fitting[2:]}


def test_a_pair_of_twin_and_gpu_is_ringed_where_the_gpus_allocator_retried(results):
    gpu = "NVIDIA H100 80GB HBM3"
    twin = {"device": f"sim:{gpu}", "gpu": gpu}
    found = results(twin, {"marks": "retries"}, details={})
    drawing = FIGURES["predicted-against-measured"].draw(found)
    assert sorted(ringed(drawing)) == ["marked:difference:lora", "marked:predicted:lora"]
    assert "Ringed" in notes(drawing)


@pytest.mark.parametrize("figure", ["throughput", "memory-by-method", "memory-over-batch", "flops"])
@pytest.mark.parametrize("marks", [None, "", "a-mark-of-later"])
def test_rows_without_a_mark_are_drawn_as_ever(table, figure, marks):
    drawing = drawn(table, figure, {"batch": 4}, {"batch": 8, "marks": marks})
    assert not by_gid(drawing, "marked:")
    assert "worth less" not in notes(drawing)


def test_a_mark_on_a_cell_without_the_value_says_nothing(table):
    drawing = drawn(table, "throughput", {}, {"batch": 2, "status": "oom", "marks": "beside"})
    assert "worth less" not in notes(drawing)
