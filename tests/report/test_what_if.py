from __future__ import annotations

import pytest
from cells import TWIN

from lorafa_prof.figures.kit.points import Point, point_of
from lorafa_prof.report.what_if import grids_of


def point(method: str = "lora", held: float | None = 1.0, **settings: object) -> Point:
    row = {
        "cell_id": f"{method}-{'-'.join(map(str, settings.values()))}",
        "model": "m",
        "method": method,
        "status": "ok" if held else "oom",
        "rank": 8,
        "batch": 2,
        "seq": 16,
        "device": TWIN,
        "activation_bytes": held,
        "peak_allocated_bytes": held,
        **settings,
    }
    return point_of({name: value for name, value in row.items() if value is not None})


def test_a_grid_has_a_cell_for_each_combination_in_the_order_of_its_axes() -> None:
    points = [point(rank=rank, seq=seq) for seq in (32, 16) for rank in (64, 8)]
    (grid,) = grids_of(points)
    assert grid.axes == {"rank": (8, 64), "batch": (2,), "seq": (16, 32)}
    assert grid.cell_ids == ("lora-8-16", "lora-8-32", "lora-64-16", "lora-64-32")
    assert grid.errors == {}


def test_values_that_a_cell_is_lacking_of_are_left_out() -> None:
    points = [point(seq=seq, rank=rank) for seq in (16, 32, 64) for rank in (8, 64)]
    points[5] = point(seq=64, rank=64, held=None)
    (grid,) = grids_of(points)
    assert grid.axes["seq"] == (16, 32)
    assert grid.axes["rank"] == (8, 64)


def test_methods_without_a_rank_have_none_and_other_settings_are_other_grids() -> None:
    points = [
        *(point("full-ft", seq=seq, rank=None) for seq in (16, 32)),
        *(point(seq=seq, dtype=dtype) for seq in (16, 32) for dtype in ("bf16", "fp32")),
        point("lora-fa"),
    ]
    grids = grids_of(points)
    assert [(grid.method, grid.about, grid.axes["rank"]) for grid in grids] == [
        ("full-ft", "", (None,)),
        ("lora", "bf16 weights", (8,)),
        ("lora", "fp32 weights", (8,)),
    ]


def test_cells_within_say_how_far_a_straight_line_is_off() -> None:
    (grid,) = grids_of([point(seq=seq, held=held) for seq, held in ((0, 100.0), (10, 200.0), (40, 300.0))])
    assert grid.errors["activation_bytes"] == pytest.approx(0.25)  # 150 in place of 200


def test_cells_that_settings_do_not_tell_apart_are_no_grid() -> None:
    assert grids_of([point(seq=16), point(seq=16, tag=1), point(seq=32)]) == []


def test_scattered_cells_are_no_grid() -> None:
    assert grids_of([point(seq=at, rank=at, batch=at) for at in range(1, 40)]) == []
