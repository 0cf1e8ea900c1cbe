from __future__ import annotations

from typing import Any

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, Steps
from lorafa_prof.devices.sim.allocator import CachingAllocator
from lorafa_prof.instruments.allocations.stream import StreamOperation, from_json
from lorafa_prof.verification.processes import predict, predict_with_stream

CELLS = [
    {"model": "tiny-llama", "method": "lora-fa"},
    {"model": "tiny-gpt2", "method": "lora", "dropout": 0.1, "checkpointing": "full"},
    {"model": "tiny-t5", "method": "full-ft", "dtype": "bf16"},
    {"model": "tiny-roberta", "method": "lora", "accumulation": 2, "max_grad_norm": 1.0},
]


def cell(**settings: Any) -> Cell:
    return tiny_cell(**settings, gpu="h100-80gb", steps=Steps(warmup=3, timed=1)).on_twin()


def stream(**settings: Any) -> list[StreamOperation]:
    return from_json(predict_with_stream(cell(**settings)).details["stream"])


@pytest.mark.parametrize("settings", CELLS, ids=lambda one: f"{one['model']}-{one['method']}")
def test_recording_changes_nothing_that_is_predicted(settings):
    """A second dispatch mode would: the twin tells by its holders whether a gradient is free."""
    plain, recorded = predict(cell(**settings)), predict_with_stream(cell(**settings))
    assert plain.row["status"] == "ok"
    assert recorded.details["memory"] == plain.details["memory"]
    assert "stream" not in plain.details


def test_the_last_step_replayed_gives_the_predicted_bytes():
    """Requested bytes made and freed in the step, from its stream alone."""
    one = cell(model="tiny-llama", method="lora-fa")
    result = predict_with_stream(one)
    operations = from_json(result.details["stream"])
    last = [each for each in operations if each.step == operations[-1].step]
    allocator = CachingAllocator()
    blocks: dict[int, Any] = {}
    peaks = {}
    for phase in ("forward", "backward", "optimizer"):
        allocator.reset_peaks()
        for each in (each for each in last if each.phase == phase):
            frees = list(zip(each.freed, each.freed_after, strict=True))
            for index in range(len(each.requested_bytes) + 1):
                for number, after in frees:
                    if after == index:
                        allocator.free(blocks.pop(number))
                if index < len(each.requested_bytes):
                    blocks[each.first + index] = allocator.malloc(each.requested_bytes[index])
        peaks[phase] = allocator.requested.peak
    phases = result.details["memory"]["phases"]
    before = phases["forward"]["start"]["requested"]
    assert peaks == {phase: phases[phase]["peak"]["requested"] - before for phase in peaks}
    assert not blocks, "a steady step leaves nothing behind"


def test_build_first_and_last_step_with_phases_and_modules():
    operations = stream(model="tiny-llama", method="lora-fa")
    steps = {each.step: {one.phase for one in operations if one.step == each.step} for each in operations}
    assert sorted(steps)[:2] == [0, 1]
    assert len(steps) == 3
    assert steps[0] == {"build"}
    assert all(phases == {"forward", "backward", "optimizer"} for step, phases in steps.items() if step)
    modules = {each.module for each in operations if each.phase == "forward"}
    assert "model.layers.0.self_attn.q_proj" in modules
    backward = {each.module for each in operations if each.phase == "backward"}
    assert "model.layers.1.mlp.down_proj" in backward


def test_two_operations_of_one_name_are_two():
    operations = stream(model="tiny-llama", method="full-ft")
    last = [each for each in operations if each.step == operations[-1].step]
    products = [each for each in last if (each.phase, each.name) == ("backward", "aten.mm.default")]
    assert len(products) > 10
    assert {len(each.requested_bytes) for each in products} == {1}


def test_micro_batches_are_one_step():
    operations = stream(model="tiny-roberta", method="lora", accumulation=2)
    last = [each for each in operations if each.step == operations[-1].step]
    phases = [each.phase for each in last]
    changes = [phase for index, phase in enumerate(phases) if index == 0 or phases[index - 1] != phase]
    assert changes == ["forward", "backward", "forward", "backward", "optimizer"]
