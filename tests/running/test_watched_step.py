"""Looking at what blocks hold changes none of them, and names them rightly."""

from __future__ import annotations

import pytest
from explained import SETTINGS, Settings, cell_of, measured, watched
from tiny_cells import FAMILIES, METHOD_NAMES

from lorafa_prof.devices.sim import twin as twin_module
from lorafa_prof.instruments.allocations.block_notes import BlockNote
from lorafa_prof.parts import BlockKind
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import UNLIMITED
from lorafa_prof.running.recorded_step import RecordedStep, predict_timeline, record_step

CELLS: list[tuple[str, str, Settings]] = [
    *(("lora", family, ()) for family in FAMILIES),
    *((method, "tiny-llama", ()) for method in METHOD_NAMES),
    *(("lora", "tiny-llama", settings) for settings in SETTINGS),
]


@pytest.mark.parametrize(("method", "family", "settings"), CELLS)
def test_no_allocation_is_another_one(method: str, family: str, settings: Settings) -> None:
    plain = predict_timeline(cell_of(method, family, settings))
    seen = watched(method, family, settings)
    assert seen.timeline.events == plain.events
    assert seen.timeline.kinds == plain.kinds
    assert seen.timeline.steady == plain.steady
    assert seen.memory is not None
    assert seen.memory.peak_allocated_bytes == measured(method, family, settings).row["peak_allocated_bytes"]


def notes_of(step: RecordedStep, kind: BlockKind) -> list[BlockNote]:
    return [step.notes[number] for number, each in step.timeline.kinds.items() if each == kind]


def test_weights_have_their_names_and_what_becomes_of_them() -> None:
    notes = {note.name: note for note in notes_of(watched("lora-fa"), "weights")}
    q_proj = "model.layers.0.self_attn.q_proj"
    assert notes[f"{q_proj}.lora_B"].role == "trained"
    assert notes[f"{q_proj}.lora_A"].role == notes[f"{q_proj}.base.weight"].role == "frozen"
    assert notes["model.rotary_emb.inv_freq"].role == "buffer"
    assert notes[f"{q_proj}.lora_A"].shape == (4, 64)
    assert notes[f"{q_proj}.lora_A"].dtype == "bfloat16"


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_gradients_and_optimizer_state_are_of_trained_weights(method: str) -> None:
    step = watched(method)
    trained = {note.name for note in notes_of(step, "weights") if note.role == "trained"}
    gradients = {note.name for note in notes_of(step, "gradients")}
    assert trained
    assert gradients == trained
    state = [note for note in notes_of(step, "optimizer") if note.role != "the method's own"]
    assert {note.role.removesuffix("_B") for note in state} >= {"exp_avg", "exp_avg_sq"}
    assert all(note.name for note in state)
    if method != "peft-lora-fa":  # which names its state by layer
        assert {note.name for note in state} == trained


def test_a_saved_tensor_knows_what_it_is_needed_for() -> None:
    step = watched("peft-lora")
    kept = [note for note in step.notes.values() if note.saved and note.saved.kind == "linear_input"]
    targets = {target for note in kept for need in note.needs for target in need.gradients_of}
    assert "base_model.model.model.layers.1.mlp.down_proj.lora_A.default.weight" in targets


def test_what_is_run_again_is_noted() -> None:
    again = watched("lora", settings=(("checkpointing", "full"),)).notes.values()
    assert any(note.recomputed for note in again)
    assert not any(note.recomputed for note in watched("lora").notes.values())


def test_out_of_memory_ends_the_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin_module, "allocator_capacity", lambda gpu: 20 * 2**20)
    limited = record_step(cell_of("full-ft"))
    assert limited.memory is None
    assert limited.timeline.out_of_memory is not None
    # The hooks of the forward that did not end are gone: the next one is like the first.
    assert record_step(cell_of("full-ft"), UNLIMITED).timeline.events == watched("full-ft").timeline.events


@pytest.mark.parametrize("method", ["lora", "peft-lora-fa"])
def test_saved_tensors_beside_a_prediction_change_nothing(method: str) -> None:
    plain = predict_memory(cell_of(method), UNLIMITED)
    seen = predict_memory(cell_of(method), UNLIMITED, with_saved=True)
    assert seen.memory == plain.memory
    assert plain.saved is None
    assert seen.saved is not None
    told, expected = seen.saved.as_records(), measured(method).details["saved"]["storages"]
    # But for the line of this file that asked for the step.
    assert [{**each, "user_line": ""} for each in told] == [{**each, "user_line": ""} for each in expected]
