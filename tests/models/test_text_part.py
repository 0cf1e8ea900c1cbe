"""Of a language model that also sees or hears the text model alone is built, and the row says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.predict_memory import predict_memory
from lorafa_prof.running.prediction import UNLIMITED

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "vocab_size": 300,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
TOWER = "the text model alone is trained: the vision tower is left out"
GEMMA: dict[str, Any] = {
    "model_type": "gemma3",
    "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": TEXT,
    "vision_config": VISION,
}
LLAVA = {
    "model_type": "llava",
    "text_config": {**TEXT, "model_type": "llama"},
    "vision_config": {**VISION, "model_type": "clip_vision_model"},
}
AUDIO = {
    "model_type": "qwen2_audio",
    "text_config": {**TEXT, "model_type": "qwen2"},
    "audio_config": {"model_type": "qwen2_audio_encoder", "d_model": 32, "encoder_layers": 1},
}
MLLAMA = {
    "model_type": "mllama",
    "text_config": {**TEXT, "cross_attention_layers": [1], "pad_token_id": 0},
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 1, "attention_heads": 2},
}


def resolved(folder: Path, fields: dict[str, Any], **choice: Any) -> ResolvedModel:
    (folder / "config.json").write_text(json.dumps(fields))
    return resolve_model(ModelChoice(name=str(folder), **choice))


def cell_of(folder: Path, fields: dict[str, Any], **settings: Any) -> Cell:
    resolved(folder, fields)
    return tiny_cell(str(folder), "full-ft", **settings)


@pytest.mark.parametrize(
    ("fields", "built", "note"),
    [
        (GEMMA, "Gemma3ForCausalLM", TOWER),
        (LLAVA, "LlamaForCausalLM", TOWER),
        (AUDIO, "Qwen2ForCausalLM", TOWER.replace("vision", "audio")),
        # transformers itself builds the text model alone of this one.
        (MLLAMA, "MllamaForCausalLM", TOWER),
    ],
)
def test_the_text_model_is_built_and_a_note_says_so(
    fields: dict[str, Any], built: str, note: str, tmp_path: Path
) -> None:
    network = resolved(tmp_path, fields)
    assert network.notes == (note,)
    assert network.task == "causal-lm"
    model = build_model(
        network,
        device=torch.device("meta"),
        dtype=torch.float32,
        attention="sdpa",
        checkpointing="none",
    )
    assert type(model).__name__ == built
    assert not [name for name, _ in model.named_modules() if "vision" in name or "audio" in name]


@pytest.mark.parametrize("device", ["cpu", "sim:h100-80gb"])
def test_the_row_says_what_is_left_out(device: str, tmp_path: Path) -> None:
    row = measure_cell(cell_of(tmp_path, GEMMA, device=device)).row
    assert row["status"] == "ok"
    assert TOWER in str(row["message"])
    assert row["params_total"] == row["params_trainable"]


def test_so_does_what_is_predicted_for_fit(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, GEMMA, device="sim:h100-80gb")
    assert TOWER in predict_memory(cell, UNLIMITED).notes


def test_a_classifier_keeps_its_classes(tmp_path: Path) -> None:
    labels = {str(number): f"class {number}" for number in range(5)}
    named = {"architectures": ["Gemma3ForSequenceClassification"], "id2label": labels}
    network = resolved(tmp_path, {**GEMMA, **named})
    assert network.task == "sequence-classification"
    assert network.notes == (TOWER,)
    assert network.config.num_labels == 5


def test_a_text_model_that_is_none_by_itself_is_one_line(tmp_path: Path) -> None:
    line = r"type 'qwen2_vl'. also sees or hears .vision_config., which is not fed here, and its text model"
    with pytest.raises(UsageError, match=line):
        resolved(tmp_path, {"model_type": "qwen2_vl"})


def test_weights_of_the_whole_are_not_read_for_the_text_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its weights are not read from a checkpoint of the whole"):
        resolved(tmp_path, GEMMA, weights="pretrained")
    assert resolved(tmp_path, MLLAMA, weights="pretrained").notes == (TOWER,)


def test_a_model_of_text_has_no_note() -> None:
    assert resolve_model(ModelChoice(name="gemma-3-1b")).notes == ()
    assert resolve_model(ModelChoice(name="t5-small")).notes == ()
    assert resolve_model(ModelChoice(name="gemma-3-4b")).notes == (TOWER,)
