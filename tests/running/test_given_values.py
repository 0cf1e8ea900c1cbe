"""A sharded model comes into being sharded: a rank holds no more than its shards and one whole parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_cells import tiny_cell
from transformers import AutoModelForCausalLM

from lorafa_prof.cell import Cell, ModelChoice
from lorafa_prof.devices.sim.allocator import MIB, CachingAllocator, SimOutOfMemoryError
from lorafa_prof.models import build
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.running.on_twin import CUDA, make_twin
from lorafa_prof.running.prepare import prepare_step

GPU = "h100-80gb"
#: Where the allocator keeps what it is asked for, and what a rank holds beside its shards.
ROOM = 64 * MIB


def cell_of(model: str, method: str, **settings: Any) -> Cell:
    fields = {"device": f"sim:{GPU}", "gpu": GPU, "parallel": "fsdp2", "gpus": 8, "dtype": "bf16"}
    return tiny_cell(model, method, **{**fields, "batch": 1, "seq": 8} | settings)


def held_after_building(cell: Cell, capacity_bytes: int | None = None) -> int:
    """Bytes that are allocated on the twin of its first rank, if the build fits."""
    with make_twin(cell, capacity_bytes=capacity_bytes) as twin:
        prepared = prepare_step(cell, CUDA)
        held = twin.allocator.allocated.current
        del prepared
    return held


def test_seventy_billion_parameters_are_built_in_the_room_of_shards_and_one_parameter() -> None:
    embedding = 32_000 * 8192 * 2
    shards = 2 * 69.2e9 / 8
    held = held_after_building(cell_of("llama-2-70b", "lora-fa"), int(shards) + embedding + ROOM)
    assert held < shards


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa"])
def test_a_rank_holds_shards_and_one_parameter(method: str) -> None:
    cell = cell_of("llama-3.2-1b", method)
    held, embedding = held_after_building(cell), 128_256 * 2048 * 2
    held_after_building(cell, held + embedding + ROOM)
    with pytest.raises(SimOutOfMemoryError):
        held_after_building(cell, held + embedding // 2)


def test_a_method_that_looks_at_weights_has_all_of_them_first() -> None:
    config = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}
    cell = cell_of("llama-3.2-1b", "lora")
    peft = cell.model_copy(update={"method": cell.method.model_copy(update={"name": "peft"})})
    peft.method.options.clear()
    peft.method.options["config"] = config
    weights = 2 * 1_235_814_400
    held = held_after_building(peft)
    assert held < weights / 7
    with pytest.raises(SimOutOfMemoryError):
        held_after_building(peft, weights)


def test_pretrained_weights_are_read_to_the_host_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a twin nothing is read; here it is, and how much of it comes to the device at a time is seen."""
    config = resolve_model(ModelChoice(name="tiny-llama")).config
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    cell = cell_of("tiny-llama", "lora")
    cell = cell.model_copy(update={"model": ModelChoice(name=str(tmp_path), weights="pretrained")})
    monkeypatch.setattr(build, "has_values", lambda device: True)
    most_bytes = 0
    malloc = CachingAllocator.malloc

    def watched(self: CachingAllocator, requested_bytes: int) -> Any:
        nonlocal most_bytes
        block = malloc(self, requested_bytes)
        most_bytes = max(most_bytes, self.requested.current)
        return block

    monkeypatch.setattr(CachingAllocator, "malloc", watched)
    with make_twin(cell) as twin:
        prepared = prepare_step(cell, CUDA)
        held = twin.allocator.requested.current
        del prepared
    embedding = config.vocab_size * config.hidden_size * 2
    assert held < most_bytes <= held + embedding
