"""GGUF files as models: what transformers, which reads them, is asked, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import LlamaConfig

from lorafa_prof.cell import ModelChoice
from lorafa_prof.errors import UsageError
from lorafa_prof.models.resolve import resolve_model


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Of those that are asked for these are installed."""
    there = {"gguf", "accelerate"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in there else None)
    return there


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What transformers was asked to read."""
    asked: list[tuple[str, Any]] = []

    def from_pretrained(location: str, **options: Any) -> LlamaConfig:
        asked.append((location, options.get("gguf_file")))
        return LlamaConfig(architectures=["LlamaForCausalLM"], num_hidden_layers=2)

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", from_pretrained)
    return asked


@pytest.mark.parametrize("named", [".", "net.gguf"])
def test_the_file_has_config_weights_and_tokenizer(
    named: str, tmp_path: Path, packages: set[str], read: list[tuple[str, Any]]
) -> None:
    (tmp_path / "net.gguf").write_bytes(b"GGUF")
    choice = ModelChoice(name=str(tmp_path / named), weights="pretrained")
    resolved = resolve_model(choice)
    assert (resolved.source, resolved.gguf_file, resolved.task) == (str(tmp_path), "net.gguf", "causal-lm")
    resolved.config.num_hidden_layers = 3
    assert resolve_model(choice).config.num_hidden_layers == 2, "a config of its own"
    assert read == [(str(tmp_path), "net.gguf")], "it takes seconds, so it is read once"
    (tmp_path / "net.gguf").write_bytes(b"GGUF of another day")
    resolve_model(choice)
    assert len(read) == 2


def test_a_config_beside_it_comes_first(tmp_path: Path, packages: set[str]) -> None:
    LlamaConfig(architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
    (tmp_path / "net.gguf").touch()
    assert resolve_model(ModelChoice(name=str(tmp_path))).gguf_file is None


def test_one_of_several_must_be_named(tmp_path: Path, packages: set[str]) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match=r"several GGUF files \(a\.gguf, b\.gguf\); name one"):
        resolve_model(ModelChoice(name=str(tmp_path)))


@pytest.mark.parametrize("missing", ["gguf", "accelerate"])
def test_without_the_package_it_is_one_line(missing: str, tmp_path: Path, packages: set[str]) -> None:
    (tmp_path / "net.gguf").touch()
    packages.discard(missing)
    with pytest.raises(UsageError, match=f"needs the package {missing}: pip install {missing}"):
        resolve_model(ModelChoice(name=str(tmp_path / "net.gguf")))
