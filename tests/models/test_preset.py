"""Listing presets is light, and each is well-formed."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest

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
