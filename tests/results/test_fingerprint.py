"""What a result depends on: each part changes with what it stands for, and unknown equals nothing."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tiny_cells import tiny_cell

from lorafa_prof import package
from lorafa_prof.cell import Cell, ModelChoice
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


@pytest.mark.parametrize("asked", [{"trust_remote_code": True}, {"weights": "pretrained"}])
def test_of_the_hub_counts_the_revision(monkeypatch, asked):
    def part(**config):
        made = resolve_model(ModelChoice(name="tiny-llama")).config
        for name, value in config.items():
            setattr(made, name, value)
        resolved = replace(resolve_model(ModelChoice(name="tiny-llama")), config=made, source="someone/model")
        monkeypatch.setattr(module, "resolve_model", lambda choice: resolved)
        return model_part(ModelChoice(name="someone/model", **asked))

    assert part() is None, "nobody knows which one it was"
    assert part(_commit_hash="") is None
    assert part(_commit_hash="a1") is not None
    assert part(_commit_hash="a1") == part(_commit_hash="a1") != part(_commit_hash="b2")


def test_a_package_with_a_file_that_cannot_be_read_is_unknown(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "others_torn").mkdir()
    (tmp_path / "others_torn" / "__init__.py").write_text("")
    point = EntryPoint("x", "others_torn.sub:X", "lorafa_prof.gpus")
    known = module._point_digest(point)
    assert known is not None
    for torn in (
        module._point_digest(EntryPoint("x", "none_such.sub:X", "")),
        unreadable(monkeypatch, point),
    ):
        assert torn is None
    # One of two folders of one package.
    (tmp_path / "b" / "others_split").mkdir(parents=True)
    (tmp_path / "others_split").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "b")
    split = EntryPoint("x", "others_split.sub:X", "lorafa_prof.gpus")
    assert module._point_digest(split) is not None
    real = module.files_digest
    monkeypatch.setattr(
        module,
        "files_digest",
        lambda folder, files: None if folder.parent.name == "b" else real(folder, files),
    )
    assert module._point_digest(split) is None


def unreadable(monkeypatch, point):
    def read_bytes(file):
        raise PermissionError("not yours")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", read_bytes)
        return module._point_digest(point)


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


def on(device: str, **settings: str) -> Cell:
    return tiny_cell(method="lora", device=device, gpu="h100-80gb", **settings)


def test_a_base_in_8_bit_floats_has_nothing_of_bitsandbytes():
    assert "bitsandbytes" not in fingerprint_of(on("cuda", quantization="fp8"))


@pytest.mark.parametrize("settings", [{"quantization": "int8"}, {"optimizer": "paged-adamw-8bit"}], ids=str)
def test_bitsandbytes_counts_where_it_does_the_work(monkeypatch, settings):
    used = on("cuda", **settings)
    monkeypatch.setattr(module, "package_version", lambda name: f"{name} of today")
    now = fingerprint_of(used)
    assert now["bitsandbytes"] == "bitsandbytes of today"
    assert set(now) == {*PARTS, "bitsandbytes"}
    assert kept_fingerprint({KEY: now}) == now
    assert changed_parts(now, now) == []
    told = "bitsandbytes 0.50.2 (now bitsandbytes of today)"
    assert changed_parts({**now, "bitsandbytes": "0.50.2"}, now) == [told]
    before = {name: known for name, known in now.items() if name != "bitsandbytes"}
    assert changed_parts(before, now) == ["bitsandbytes unknown (now bitsandbytes of today)"]
    for unused in (on("cuda"), on("cpu"), on("sim:h100-80gb", **settings)):
        assert set(fingerprint_of(unused)) == set(PARTS)


def test_each_value_of_the_allocators_settings_counts(monkeypatch):
    parts = []
    for value in ("", "expandable_segments:True", "expandable_segments:False"):
        monkeypatch.setenv("PYTORCH_ALLOC_CONF", value)
        parts.append(fingerprint_of(TWIN)["allocator"])
    assert len(set(parts)) == 3
    monkeypatch.delenv("PYTORCH_ALLOC_CONF")
    assert fingerprint_of(TWIN)["allocator"] == parts[0], "not set is as empty"


def test_of_what_is_kept_only_text_is_known():
    assert kept_fingerprint({KEY: {"model": 3, "torch": "2.13.0"}}) == {
        **dict.fromkeys(PARTS),
        "torch": "2.13.0",
    }


def test_what_is_said_of_each_part():
    assert changed_parts(dict.fromkeys(PARTS, "a"), dict.fromkeys(PARTS, "b")) == [
        "the model's config or files",
        "the method's code",
        "third parties' kernels or GPUs",
        "lorafa-prof's own code",
        "the allocator's settings",
        *(f"{name} a (now b)" for name in ("torch", "transformers", "peft", "accelerate", "triton")),
    ]
    assert changed_parts({}, {})[-1] == "triton unknown (now unknown)"


def test_a_config_counts_by_its_values_not_by_their_order(folder):
    before = model_part(ModelChoice(name=str(folder)))
    file = folder / "config.json"
    file.write_text(json.dumps(dict(reversed(json.loads(file.read_text()).items()))))
    assert model_part(ModelChoice(name=str(folder))) == before
