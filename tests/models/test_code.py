"""A network's code is imported before the twin is entered, which it would see and keep."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_cells import tiny_cell
from transformers import EncoderDecoderConfig, MraConfig, YosoConfig

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.code import import_code
from lorafa_prof.models.resolve import ResolvedModel, resolve_model
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.prepare import prepare_model

CONFIGURATION = """
from transformers import LlamaConfig

class OwnConfig(LlamaConfig):
    model_type = "own"
"""
#: What DeBERTa does when it is imported, and what it must not see.
MODELING = """
import torch
from torch.nn.init import normal_
from transformers import LlamaForCausalLM
from .configuration import OwnConfig

@torch.jit.script
def doubled(x):
    return 2 * x

assert not torch.cuda.is_available() and normal_.__module__ == "torch.nn.init"

HELD = torch.zeros(1)

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.loss = doubled(output.loss)
        return output
"""


def test_the_modules_of_all_parts_are_imported() -> None:
    config = EncoderDecoderConfig.from_encoder_decoder_configs(MraConfig(), YosoConfig())
    import_code(ResolvedModel("pair", "seq2seq-lm", config, "random", ""))
    for name in ("encoder_decoder", "mra", "yoso"):
        assert f"transformers.models.{name}.modeling_{name}" in sys.modules


def test_what_is_not_installed_is_left_to_building(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "transformers.models.mra.modeling_mra"
    monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    resolved = ResolvedModel("mra", "sequence-classification", MraConfig(), "random", "")
    import_code(resolved)
    with pytest.raises(UsageError, match="model 'mra' cannot be built"):
        build_model(
            resolved,
            device=torch.device("meta"),
            dtype=torch.float32,
            attention="eager",
            checkpointing="none",
        )


@pytest.fixture
def own_model(tmp_path: Path) -> ModelChoice:
    (tmp_path / "configuration.py").write_text(CONFIGURATION)
    (tmp_path / "modeling.py").write_text(MODELING)
    config = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "configuration.OwnConfig", "AutoModelForCausalLM": "modeling.OwnModel"},
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 100,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return ModelChoice(name=str(tmp_path), trust_remote_code=True)


def test_code_that_comes_with_a_model_does_not_see_the_twin(own_model: ModelChoice) -> None:
    cell = tiny_cell(own_model.name, "full-ft", device="sim:h100-80gb")
    assert measure_cell(cell.model_copy(update={"model": own_model})).row["status"] == "ok"


def test_nor_the_device_that_the_model_is_built_on(own_model: ModelChoice) -> None:
    """As 4 bytes lay on an H200 that some library, imported by transformers' code, makes of a constant."""
    cell = tiny_cell(own_model.name, "full-ft", device="cpu").model_copy(update={"model": own_model})
    prepared = prepare_model(cell, resolve_model(own_model), torch.device("meta"))
    held = vars(sys.modules[type(prepared.model).__module__])["HELD"]
    assert held.device.type == "cpu"
