"""A config.json of a quantized checkpoint is refused by the name of its method, never left unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.build import build_model
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import resolve_model


def build(directory: Path, said: Any, key: str = "quantization_config") -> Any:
    config = {**PRESETS["tiny-llama"].make_config().to_dict(), key: said}
    file = directory / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    resolved = resolve_model(ModelChoice(name=str(file)))
    device = torch.device("meta")
    return build_model(resolved, device=device, dtype=torch.bfloat16, attention="sdpa", checkpointing="none")


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes 4-bit fp4"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "bitsandbytes 4-bit nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes 8-bit"),
        ({"quant_method": "gptq", "bits": 4}, "gptq 4-bit"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"fmt": "e4m3"}, "without quant_method"),
    ],
)
def test_it_is_refused_by_name(tmp_path: Path, said: Any, named: str) -> None:
    with pytest.raises(UsageError, match="its config has quantization_config") as error:
        build(tmp_path, said)
    assert f"({named})" in str(error.value)


def test_the_key_of_older_files_is_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"compression_config \(compressed-tensors\)"):
        build(tmp_path, {"quant_method": "compressed-tensors"}, key="compression_config")


def test_none_is_no_quantization(tmp_path: Path) -> None:
    assert build(tmp_path, None).training
