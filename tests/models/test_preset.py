"""Listing presets is light, and each is well-formed."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

from lorafa_prof.errors import UsageError
from lorafa_prof.models.preset import PRESETS

CONTRACT_NAMES = {
    *("roberta-base", "roberta-large", "t5-small", "t5-base", "t5-large"),
    *("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"),
    *("llama-7b", "llama-13b", "llama-30b", "llama-65b"),
    *("llama-2-7b", "llama-2-13b", "llama-2-70b", "llama-3-8b", "llama-3.2-1b", "llama-3.2-3b"),
    *("qwen2.5-0.5b", "qwen2.5-1.5b", "qwen2.5-7b", "mistral-7b"),
    *("tiny-llama", "tiny-roberta", "tiny-t5", "tiny-gpt2", "tiny-qwen2", "tiny-mistral"),
}

#: Parameters of the published checkpoints; of classifiers, without their head.
PARAMETERS = {
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "qwen3-30b-a3b": 30_532_122_624,
    "gemma-3-1b": 999_885_952,
    # The checkpoints' 4,300,079,472, 12,187,325,040 and 27,432,406,640, less the vision tower's 416,866,032
    # and the projector's 1,152 × (hidden + 1).
    "gemma-3-4b": 3_880_263_168,
    "gemma-3-12b": 11_766_034_176,
    "gemma-3-27b": 27_009_346_304,
    "phi-4": 14_659_507_200,
    "gpt-oss-20b": 20_914_757_184,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-v2-lite": 15_706_484_224,
    "modernbert-base": 149_014_272,
    "modernbert-large": 394_781_696,
    "deberta-v3-small": 141_304_320,
    "deberta-v3-base": 183_831_552,
    "deberta-v3-large": 434_012_160,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_preset_has_the_parameters_of_what_was_published(name: str) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    preset = PRESETS[name]
    is_classifier = preset.task == "sequence-classification"
    kind = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
    with torch.device("meta"):
        model = kind.from_config(preset.make_config())
    counted = model.base_model if is_classifier else model
    assert sum(parameter.numel() for parameter in counted.parameters()) == PARAMETERS[name]


def test_the_names_of_the_contract_are_there() -> None:
    assert set(PRESETS) >= CONTRACT_NAMES


def test_listing_presets_imports_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from lorafa_prof.models.preset import PRESETS; assert len(PRESETS) > 20; "
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_one_line_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'llama-2-7b'"):
        PRESETS["lama-2-7b"]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_each_call_gives_a_config_of_its_own(name: str) -> None:
    first, second = PRESETS[name].make_config(), PRESETS[name].make_config()
    before = copy.deepcopy(second.to_dict())
    first.vocab_size = 7
    if "rope_parameters" in before:
        first.rope_parameters["rope_theta"] = -1.0
    assert second.to_dict() == before
    assert PRESETS[name].make_config().to_dict() == before


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_source_is_a_published_config_or_said_to_be_synthetic(name: str) -> None:
    source = PRESETS[name].source
    if name.startswith("tiny-"):
        assert source == "synthetic"
    else:
        assert source.startswith("https://huggingface.co/")
        assert source.endswith("/config.json")
