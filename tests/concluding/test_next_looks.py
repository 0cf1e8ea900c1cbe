from __future__ import annotations

from pathlib import Path
from typing import Any

from lorafa_prof.concluding.conclusions import conclusions_of
from lorafa_prof.concluding.next_looks import next_looks
from lorafa_prof.figures.kit.points import point_of


def row(method: str, digest: str, status: str = "ok", **other: Any) -> dict[str, Any]:
    sizes = {"activation_bytes": 1, "peak_allocated_bytes": 2} if status == "ok" else {}
    settings = {"model": "tiny-llama", "method": method, "batch": 1, "device": "sim:h200", "gpu": "h200"}
    return {"cell_id": f"{method}_b1_{digest}", "status": status, **settings, **sizes, **other}


def commands(*rows: dict[str, Any], out: str = "out/x") -> list[str]:
    points = [point_of(each) for each in rows]
    return [look.command for look in next_looks(conclusions_of(points), points, Path(out))]


def test_the_two_that_are_compared_and_the_last_that_ran_out_are_explained() -> None:
    rows = [
        row("lora", "aa"),
        row("lora-fa", "bb"),
        row("lora", "cc", "oom", batch=8),
        row("lora-fa", "dd", "oom", batch=8),
    ]
    assert commands(*rows) == [
        "lorafa-prof explain out/x -k bb --against aa",
        "lorafa-prof explain out/x -k dd",
        "lorafa-prof report out/x",
    ]


def test_only_cells_that_a_twin_can_explain_are() -> None:
    on_cpu = [row(method, method, device="cpu", gpu=None) for method in ("lora", "lora-fa")]
    assert commands(*on_cpu) == ["lorafa-prof report out/x"]


def test_a_pair_of_which_one_ran_out_is_not_set_against_each_other() -> None:
    rows = [row("lora", "aa", "oom"), row("lora-fa", "bb")]
    assert commands(*rows, out="my out") == [
        "lorafa-prof explain 'my out' -k aa",
        "lorafa-prof report 'my out'",
    ]
