"""What a result depends on: each part changes with what it stands for, and unknown equals nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from tiny_cells import tiny_cell

from lorafa_prof import package
from lorafa_prof.cell import ModelChoice
from lorafa_prof.methods.base import METHODS
from lorafa_prof.models.resolve import resolve_model
from lorafa_prof.results import fingerprint as module
from lorafa_prof.results.fingerprint import (
    KEY,
    PARTS,
    changed_parts,
    extensions_part,
    fingerprint_of,
    kept_fingerprint,
    method_part,
    model_part,
    own_sources,
)
from lorafa_prof.running.measure import measure_cell

TWIN = tiny_cell(device="sim:h100-80gb", gpu="h100-80gb")


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for cached in (method_part, extensions_part, own_sources):
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = resolve_model(ModelChoice(name="tiny-llama")).config
    (tmp_path / "config.json").write_text(config.to_json_string(use_diff=False))
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_every_part_is_known_here_and_kept_with_the_result():
    now = fingerprint_of(TWIN)
    assert set(now) == set(PARTS)
    assert None not in now.values()
    kept = measure_cell(TWIN).environment
    assert kept[KEY] == now
    assert changed_parts(kept_fingerprint(json.loads(json.dumps(kept))), now) == []


@pytest.mark.parametrize("environment", [{}, {KEY: None}, {KEY: {}}, {KEY: 3}, {KEY: {"model": None}}])
def test_what_is_not_known_equals_nothing(environment):
    then = kept_fingerprint(environment)
    assert len(changed_parts(then, fingerprint_of(TWIN))) == len(PARTS)
    assert len(changed_parts(then, then)) == len(PARTS)


def test_what_has_changed_is_named():
    now = fingerprint_of(TWIN)
    assert changed_parts({**now, "torch": "2.12.0"}, now) == [f"torch 2.12.0 (now {now['torch']})"]
    assert changed_parts({**now, "model": "x"}, now) == ["the model's config or files"]
    assert changed_parts({**now, "method": None}, now) == ["the method's code (unknown)"]
    assert changed_parts(now, {**now, "lorafa-prof": None}) == ["lorafa-prof's own code (unknown)"]


def test_a_local_config_counts_by_its_content_not_by_its_place(folder, tmp_path_factory):
    choice = ModelChoice(name=str(folder))
    before = model_part(choice)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert model_part(ModelChoice(name=str(elsewhere))) == before
    edit(folder, num_hidden_layers=3)
    assert model_part(choice) not in (before, None)
    (folder / "config.json").unlink()
    assert model_part(choice) is None


def test_code_beside_a_config_counts_where_it_may_run(folder):
    asked, not_asked = (ModelChoice(name=str(folder), trust_remote_code=trusted) for trusted in (True, False))
    (folder / "odd.py").write_text("one = 1\n")
    before, without = model_part(asked), model_part(not_asked)
    (folder / "odd.py").write_text("one = 2\n")
    assert model_part(asked) != before
    assert model_part(not_asked) == without
    edit(folder, auto_map={"AutoModelForCausalLM": "someone/else--odd.Odd"})
    assert model_part(asked) is None, "code of another repository"


def test_pretrained_weights_count_by_their_files(folder):
    (folder / "model.safetensors").write_bytes(b"1")
    choice = ModelChoice(name=str(folder), weights="pretrained")
    before = model_part(choice)
    (folder / "model.safetensors").write_bytes(b"12")
    assert model_part(choice) != before


METHOD = """
from lorafa_prof.methods.base import Method, MethodOptions
METHOD = Method("mine", "mine", MethodOptions, lambda model, options, setting: None, None)
"""


@pytest.mark.parametrize("in_package", [False, True])
def test_a_third_partys_method_counts_by_its_sources_and_its_version(tmp_path, monkeypatch, in_package):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(METHODS, "_entries", None)
    name = f"others_{in_package}".lower()
    file = tmp_path / name / "__init__.py" if in_package else tmp_path / f"{name}.py"
    beside = tmp_path / name / "helper.py" if in_package else file
    file.parent.mkdir(exist_ok=True)
    file.write_text(METHOD)
    info = tmp_path / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lorafa_prof.methods]\nmine = {name}:METHOD\n")
    before = method_part("mine")
    assert before not in (None, method_part("lora"))
    method_part.cache_clear()
    assert method_part("mine") == before
    beside.write_text(METHOD + "more = 1\n")
    assert method_part("mine") == before, "what this process has loaded is what it was"
    method_part.cache_clear()
    edited = method_part("mine")
    assert edited != before
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    method_part.cache_clear()
    monkeypatch.setattr(METHODS, "_entries", None)
    assert method_part("mine") != edited
    if in_package:
        return
    file.unlink()
    monkeypatch.delitem(sys.modules, name)
    method_part.cache_clear()
    assert method_part("mine") is None
    assert method_part("none such") is None


def test_the_packages_own_sources_count_without_git(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.py").write_text("a")
    monkeypatch.setattr(package, "FOLDER", tmp_path)
    before = own_sources()
    own_sources.cache_clear()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("compiled")
    assert own_sources() == before
    for change in (
        lambda: (tmp_path / "sub" / "a.py").write_text("b"),
        lambda: (tmp_path / "b.txt").write_text(""),
    ):
        own_sources.cache_clear()
        change()
        assert own_sources() != before
        before = own_sources()


def test_versions_and_the_allocators_settings_count(monkeypatch):
    before = fingerprint_of(TWIN)
    monkeypatch.setitem(os.environ, "PYTORCH_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.setattr(module, "package_version", lambda name: None if name == "triton" else "99")
    now = fingerprint_of(TWIN)
    assert now["triton"] == "none"
    assert {name for name in PARTS if now[name] != before[name]} >= {
        "allocator",
        "torch",
        "peft",
        "accelerate",
    }
