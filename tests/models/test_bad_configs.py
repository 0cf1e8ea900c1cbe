"""Configs that name no network, or one that cannot be trained here, are one line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from transformers import CanineConfig, LlamaForCausalLM, PretrainedConfig

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.inputs import make_inputs
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.measure import measure_cell

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 100,
}


def written(folder: Path, **fields: Any) -> str:
    config = {**LLAMA, **fields}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return str(folder)


@pytest.mark.parametrize("architectures", [None, []])
def test_without_an_architecture_the_type_decides(tmp_path: Path, architectures: Any) -> None:
    resolved = resolve_model(ModelChoice(name=written(tmp_path, architectures=architectures)))
    assert resolved.task == "causal-lm"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"architectures": ["LlamaForCausalLM", "LlamaForSequenceClassification"]},
            r"names 2 architectures \(LlamaForCausalLM, LlamaForSequenceClassification\); leave the one",
        ),
        ({"architectures": [3]}, "cannot read its config .*architectures"),
        ({"architectures": "LlamaForCausalLM"}, "cannot read its config .*architectures"),
        ({"model_type": "no-such-type"}, "cannot read its config .*no-such-type"),
        ({"model_type": None}, "cannot read its config .*model_type"),
        ({"model_type": "vitpose"}, "neither a causal nor a sequence-to-sequence"),
    ],
)
def test_what_names_no_network_is_one_line(tmp_path: Path, fields: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        resolve_model(ModelChoice(name=written(tmp_path, **fields)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cpu", "sim:h100-80gb"])
def test_a_network_that_cannot_be_built_of_its_config_is_one_line(tmp_path: Path, device: str) -> None:
    name = written(tmp_path, model_type="esm", vocab_size=None, pad_token_id=0)
    with pytest.raises(UsageError, match="cannot be built: TypeError: "):
        measure_cell(tiny_cell(name, "full-ft", device=device))


def needs_pictures(
    self: Any, pixel_values: Any, input_ids: Any, attention_mask: Any, labels: Any
) -> None: ...


def has_no_loss(self: Any, input_ids: Any = None, attention_mask: Any = None, **kwargs: Any) -> None: ...


def has_no_mask(self: Any, input_ids: Any = None, labels: Any = None, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("forward", "padding", "line"),
    [
        (needs_pictures, 0.0, "needs pixel_values beside text, which is not made here"),
        (has_no_loss, 0.0, "takes no labels, so it has no loss to train by"),
        (has_no_mask, 0.5, "takes no attention mask .*; set padding: 0"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(
    monkeypatch: pytest.MonkeyPatch, forward: Any, padding: float, line: str
) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    with pytest.raises(UsageError, match=f"model 'tiny-llama' {line}"):
        measure_cell(tiny_cell("tiny-llama", "full-ft", padding=padding))


class ConfigWithoutVocabulary(PretrainedConfig):
    model_type = "own"


def test_without_a_vocabulary_no_text_can_be_made() -> None:
    resolved = ResolvedModel("own", "causal-lm", ConfigWithoutVocabulary(), "random", "")
    with pytest.raises(UsageError, match=r"'own' \(type 'own'\) has no vocab_size in its config"):
        make_inputs(resolved, batch=1, seq=8, device=torch.device("cpu"), seed=0)


def test_a_network_of_characters_reads_any() -> None:
    resolved = ResolvedModel("canine", "sequence-classification", CanineConfig(), "random", "")
    ids = make_inputs(resolved, batch=4, seq=64, device=torch.device("cpu"), seed=0)["input_ids"]
    assert 60_000 < int(ids.max()) <= 0x10FFFF
