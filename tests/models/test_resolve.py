"""Preset, path, hub id, or a one-line error: in this order, and never a hang."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import resolve_model


@pytest.fixture
def model_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "my-model"
    PRESETS["tiny-qwen2"].make_config().save_pretrained(directory)
    return directory


@pytest.fixture
def unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    http_error = HfHubHTTPError.__bases__[0]

    def fail(*args: Any, **kwargs: Any) -> None:
        raise http_error("Name or service not known\nmore of it")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)


def test_a_preset() -> None:
    resolved = resolve_model(ModelChoice(name="roberta-base"))
    assert (resolved.name, resolved.task, resolved.weights) == (
        "roberta-base",
        "sequence-classification",
        "random",
    )
    assert resolved.config.hidden_size == 768
    assert not resolved.trust_remote_code


def test_each_resolution_has_a_config_of_its_own() -> None:
    first = resolve_model(ModelChoice(name="tiny-llama")).config
    assert resolve_model(ModelChoice(name="tiny-llama")).config is not first


def test_a_preset_comes_before_a_directory_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PRESETS["tiny-llama"].make_config().save_pretrained(tmp_path / "gpt2")
    monkeypatch.chdir(tmp_path)
    assert resolve_model(ModelChoice(name="gpt2")).config.model_type == "gpt2"


def test_a_pretrained_preset_says_what_to_name_instead() -> None:
    with pytest.raises(UsageError, match=r"hub id .* or a local directory") as caught:
        resolve_model(ModelChoice(name="tiny-llama", weights="pretrained"))
    assert "tiny-llama" in str(caught.value)


def test_a_directory(model_directory: Path) -> None:
    resolved = resolve_model(ModelChoice(name=str(model_directory), weights="pretrained"))
    assert (resolved.task, resolved.config.model_type) == ("causal-lm", "qwen2")
    assert (resolved.weights, resolved.source) == ("pretrained", str(model_directory))
    assert resolved.config.to_dict()["vocab_size"] == 256


@pytest.mark.parametrize("file_name", ["config.json", "small.json"])
def test_a_config_file(model_directory: Path, file_name: str) -> None:
    (model_directory / "config.json").rename(model_directory / file_name)
    resolved = resolve_model(ModelChoice(name=str(model_directory / file_name)))
    assert (resolved.task, resolved.config.hidden_size) == ("causal-lm", 64)


def test_an_existing_path_with_one_slash_is_not_a_hub_id(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model_directory.parent.parent)
    name = f"{model_directory.parent.name}/my-model"
    assert resolve_model(ModelChoice(name=name)).config.model_type == "qwen2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lama-2-7b", "unknown model 'lama-2-7b' .did you mean 'llama-2-7b'"),
        ("zzz", "unknown model 'zzz'; name a preset"),
        ("", "unknown model ''"),
        ("a/b/c", "unknown model 'a/b/c'"),
        ("./nothing", "'./nothing': no such file or directory"),
        ("configs/nothing.json", "no such file or directory"),
    ],
)
def test_nothing_of_that_name(name: str, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        resolve_model(ModelChoice(name=name))
    assert "\n" not in str(caught.value)


def test_a_directory_without_config(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        resolve_model(ModelChoice(name=str(tmp_path)))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"model_type": "no-such-type"}', '{"model_type": "llama", "hidden_size": "x"}']
)
def test_an_unreadable_config_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match="cannot read its config") as caught:
        resolve_model(ModelChoice(name=str(tmp_path)))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_code_of_a_model_runs_only_if_asked(tmp_path: Path) -> None:
    fields = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.OwnConfig", "AutoModelForCausalLM": "code.M"},
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    (tmp_path / "code.py").write_text(
        "from transformers import PretrainedConfig\n"
        "class OwnConfig(PretrainedConfig):\n    model_type = 'own'\n"
    )
    with pytest.raises(UsageError, match="trust_remote_code: true"):
        resolve_model(ModelChoice(name=str(tmp_path)))
    resolved = resolve_model(ModelChoice(name=str(tmp_path), trust_remote_code=True))
    assert (resolved.task, resolved.trust_remote_code) == ("causal-lm", True)


@pytest.mark.usefixtures("unreachable_hub")
def test_an_unreachable_hub_is_one_line_and_soon() -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"'no-such-owner/no-such-model': .*HTTPError: Name") as caught:
        resolve_model(ModelChoice(name="no-such-owner/no-such-model"))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("unreachable_hub")
def test_a_hub_id_in_the_cache_needs_no_hub(
    model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "cache" / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir()
    model_directory.rename(snapshot)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    resolved = resolve_model(ModelChoice(name="owner/name"))
    assert (resolved.name, resolved.source, resolved.task) == ("owner/name", "owner/name", "causal-lm")
    assert resolved.config.model_type == "qwen2"


@pytest.mark.usefixtures("unreachable_hub")
def test_a_name_that_no_hub_id_can_have() -> None:
    with pytest.raises(UsageError, match="HFValidationError"):
        resolve_model(ModelChoice(name="two words/model"))
