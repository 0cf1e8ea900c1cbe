"""Every branch of the tree is the sum of those below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from explained import SETTINGS, Settings, cell_of, measured, predicted
from tiny_cells import METHOD_NAMES

from lorafa_prof.explaining.explanation import Explanation, by_twin
from lorafa_prof.explaining.modules import by_module
from lorafa_prof.explaining.subject import Subject
from lorafa_prof.explaining.tree import Branch, memory_tree

NO_ROW: Mapping[str, Any] = {}
CELLS: list[tuple[str, Settings]] = [(method, ()) for method in METHOD_NAMES]
CELLS += [("lora", settings) for settings in SETTINGS]


def explanation(method: str, settings: Settings = (), row: Mapping[str, Any] = NO_ROW) -> Explanation:
    cell = cell_of(method, settings=settings)
    return by_twin(Subject(cell.cell_id, cell.label, cell, row), predicted(method, settings=settings))


def tree_of(explained: Explanation) -> Branch:
    tree = memory_tree(explained)
    assert tree is not None
    return tree


def check_sums(branch: Branch) -> None:
    if branch.branches:
        assert sum(below.nbytes for below in branch.branches) == branch.nbytes, branch.name
    for below in branch.branches:
        check_sums(below)


def named(branch: Branch, name: str) -> Branch:
    found = [branch] if branch.name.startswith(name) else []
    todo = list(branch.branches)
    while todo:
        each = todo.pop(0)
        found += [each] if each.name.startswith(name) else []
        todo += each.branches
    return found[0]


@pytest.mark.parametrize(("method", "settings"), CELLS)
def test_branches_sum(method: str, settings: Settings) -> None:
    tree = tree_of(explanation(method, settings))
    check_sums(tree)
    row: Any = measured(method, settings=settings).row
    assert named(tree, "allocated at the peak").nbytes == row["peak_allocated_bytes"]
    assert named(tree, "reserved by PyTorch").nbytes == row["peak_reserved_bytes"]
    assert named(tree, "unexplained").nbytes == 0


@pytest.mark.parametrize(("peak", "reserved"), [(0, 0), (512, 0), (-1024, 0), (512, 2**21), (0, -(2**21))])
def test_what_was_measured_otherwise_is_unexplained(peak: int, reserved: int) -> None:
    step = predicted("lora")
    row = {
        "peak_allocated_bytes": step.peak.total_bytes + peak,
        "peak_reserved_bytes": step.peak_reserved_bytes + reserved,
    }
    tree = tree_of(explanation("lora", row=row))
    check_sums(tree)
    allocated = named(tree, "allocated at the peak")
    assert allocated.nbytes == row["peak_allocated_bytes"]
    assert named(allocated, "unexplained").nbytes == peak
    beyond = [
        each.nbytes for each in named(tree, "reserved by PyTorch").branches if "unexplained" in each.name
    ]
    assert sum(beyond) == reserved - peak


def test_the_context_is_what_the_process_used_beyond_the_allocator() -> None:
    step = predicted("lora")
    row = {"peak_allocated_bytes": step.peak.total_bytes, "peak_reserved_bytes": 10_000_000}
    on_device = tree_of(explanation("lora", row={**row, "device_used_bytes": 11_000_000}))
    assert on_device.nbytes == 11_000_000
    cell = cell_of("lora")
    details = {"memory": {"process_used_bytes": 10_500_000}}
    of_process = by_twin(Subject("id", "it", cell, {**row, "device_used_bytes": 11_000_000}, details), step)
    assert tree_of(of_process).nbytes == 10_500_000


def test_a_gpu_whose_context_nobody_measured_has_none() -> None:
    cell = cell_of("lora").model_copy(update={"gpu": "gh200-96gb", "device": "sim:gh200-96gb"})
    tree = tree_of(by_twin(Subject("id", "it", cell), predicted("lora")))
    assert tree.name.startswith("reserved by PyTorch")


def test_without_a_peak_there_is_no_tree() -> None:
    assert memory_tree(replace(explanation("lora"), peak=None)) is None


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_modules_are_all_pieces_and_no_layer_has_a_number(method: str) -> None:
    peak = predicted(method).peak
    modules = by_module(peak)
    parts: Counter[str] = Counter()
    for module in modules:
        parts.update(module.parts)
        assert not any(name.isdigit() for name in module.module.split("."))
    expected: Counter[str] = Counter()
    for piece in peak.pieces:
        expected[piece.part] += piece.nbytes
    assert parts == expected
    mlp = next(module for module in modules if module.module.endswith("*.mlp"))
    assert mlp.count == 2
