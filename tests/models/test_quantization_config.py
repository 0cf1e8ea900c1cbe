"""A config.json of a quantized checkpoint is refused by the name of its method, never left unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.layers.quantized.state import is_quantized
from lorafa_prof.models.build import build_model
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.quantization import NOT_QUANTIZED, Quantization
from lorafa_prof.models.resolve import resolve_model


def build(
    directory: Path, said: Any, key: str = "quantization_config", asked: Quantization = NOT_QUANTIZED
) -> Any:
    config = {**PRESETS["tiny-llama"].make_config().to_dict(), key: said}
    file = directory / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return build_model(
        resolve_model(ModelChoice(name=str(file))),
        device=torch.device("meta"),
        dtype=torch.bfloat16,
        attention="sdpa",
        checkpointing="none",
        quantization=asked,
    )


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


NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"}


def test_bitsandbytes_of_the_cells_kind_is_honoured(tmp_path: Path) -> None:
    model = build(tmp_path, {**NF4, "llm_int8_skip_modules": ["q_proj"]}, asked=Quantization("nf4"))
    attention = model.model.layers[0].self_attn
    assert not is_quantized(attention.q_proj)
    assert is_quantized(attention.k_proj)
    assert not is_quantized(model.lm_head)
    assert not hasattr(model.config, "quantization_config")


@pytest.mark.parametrize(
    ("said", "asked", "remedy"),
    [
        (NF4, NOT_QUANTIZED, "quantization is none: set quantization: nf4, or take"),
        (NF4, Quantization("fp4"), "quantization is fp4: set quantization: nf4, or take"),
        (
            {**NF4, "bnb_4bit_use_double_quant": True},
            Quantization("nf4"),
            "set quantization: nf4, double_quant: true, or take",
        ),
        (NF4, Quantization("nf4", double=True), "is nf4 with double_quant: set quantization: nf4, or"),
        ({"load_in_8bit": True}, NOT_QUANTIZED, "set quantization: int8, or"),
        (
            {**NF4, "bnb_4bit_compute_dtype": "float32"},
            Quantization("nf4"),
            "compute_dtype float32, and here",
        ),
        ({"load_in_4bit": True}, Quantization("fp4"), "compute_dtype float32, and here it is bfloat16"),
        ({**NF4, "bnb_4bit_quant_storage": "bfloat16"}, Quantization("nf4"), "storage bfloat16, and here"),
        ({"load_in_8bit": True, "llm_int8_threshold": 0.0}, Quantization("int8"), "threshold 0.0, and here"),
    ],
)
def test_other_settings_are_refused_by_name(
    tmp_path: Path, said: Any, asked: Quantization, remedy: str
) -> None:
    with pytest.raises(UsageError, match="its config has quantization_config") as error:
        build(tmp_path, said, asked=asked)
    assert remedy in str(error.value)


def test_the_key_of_older_files_is_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"compression_config \(compressed-tensors\)"):
        build(tmp_path, {"quant_method": "compressed-tensors"}, key="compression_config")


def test_none_is_no_quantization(tmp_path: Path) -> None:
    assert build(tmp_path, None).training
