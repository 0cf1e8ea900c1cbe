"""What tensors are needed for, from the graph into a record and back."""

from __future__ import annotations

import json

import pytest
from explained import measured, predicted
from tiny_cells import METHOD_NAMES, tiny_cell

from lorafa_prof.instruments.saved.needs import Need
from lorafa_prof.instruments.saved.recorder import SavedStorage
from lorafa_prof.results.needs import needs_records, recorded_needs
from lorafa_prof.results.tensors import TensorKey
from lorafa_prof.running.measure import measure_cell


def storage(module: str, *needs: Need) -> SavedStorage:
    return SavedStorage(module, "mul", "norm", (2, 3), "bfloat16", 12, 1, False, "model.py:7", needs)


def test_layers_are_taken_as_one_and_each_need_is_told_once() -> None:
    kept = [
        storage(f"layers.{layer}.norm", Need(f"layers.{layer}.norm", "Mul", "self", (f"layers.{layer}.w",)))
        for layer in range(3)
    ]
    details = {"saved": {"needs": needs_records([*kept, storage("head")])}}
    key = TensorKey("layers.*.norm", "norm", "mul", "bfloat16", (2, 3))
    expected = {key: (Need("layers.*.norm", "Mul", "self", ("layers.*.w",)),)}
    assert recorded_needs(json.loads(json.dumps(details))) == expected


@pytest.mark.parametrize("details", [{}, {"saved": None}, {"saved": {"storages": []}}])
def test_a_record_without_them_has_none(details: dict[str, object]) -> None:
    assert recorded_needs(details) == {}


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_a_record_knows_what_the_explanation_reads_from_the_graph(method: str) -> None:
    known = recorded_needs(measured(method).details)
    pieces = predicted(method).activation.of("saved")
    assert pieces
    assert {piece.key: set(piece.needs) for piece in pieces if piece.needs} == {
        key: set(needs) for key, needs in known.items() if key in {piece.key for piece in pieces}
    }


def test_on_a_cpu_they_are_recorded_too() -> None:
    known = recorded_needs(measure_cell(tiny_cell(method="lora-fa")).details)
    uses = {(need.op, need.slot, need.gradients_of) for needs in known.values() for need in needs}
    b = "model.layers.*.mlp.down_proj.lora_B"
    assert any(use[:2] == ("LoraFaFunction", "0") and use[2] == (b,) for use in uses), sorted(uses)
