"""The benchmark of our step beside its peers: Unsloth's row, where it is installed and where it is not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from programs import program
from torch import nn
from transformers import AutoTokenizer, LlamaForCausalLM

from lorafa_prof.cell import Cell, ModelChoice, ResolvedDevice
from lorafa_prof.methods.base import Prepared, Setting
from lorafa_prof.models.build import build_model
from lorafa_prof.models.resolve import resolve_model

BENCHMARK = program("benchmarks/step.py")
PEER = sys.modules["unsloth_peer"]
COMMON = BENCHMARK.TABLES["llama-2-7b"][0]


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BENCHMARK, "resolve_device", lambda device, gpu: ResolvedDevice(device, gpu))


def cell() -> Cell:
    found: Cell = BENCHMARK.cell_of({**COMMON, "method": "unsloth-lora"})
    return found


def test_its_cell_is_that_of_the_other_peers() -> None:
    other = BENCHMARK.cell_of({**COMMON, "method": "peft-lora"})
    differing = {
        name: (getattr(cell(), name), getattr(other, name))
        for name in Cell.model_fields
        if getattr(cell(), name) != getattr(other, name)
    }
    assert list(differing) == ["method"]
    options = cell().method.options
    assert options == {"rank": 64, "alpha": 8.0, "targets": "all-linear", "dropout": 0.0}
    assert options.items() <= other.method.options.items()


def test_where_it_is_missing_its_row_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(BENCHMARK.TABLES, "small", (COMMON, [{"method": "unsloth-lora"}]))
    monkeypatch.setattr(PEER, "find_spec", lambda name: None)
    rows = list(BENCHMARK.measured("small", ""))
    assert [(row["status"], row["message"]) for row in rows] == [("skipped", "unsloth is not installed")]
    assert "skipped: unsloth is not installed" in capsys.readouterr().out
    BENCHMARK.write(tmp_path / "small.csv", rows)
    assert "skipped,unsloth is not installed" in (tmp_path / "small.csv").read_text()


def test_a_failure_of_its_process_is_its_last_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Here it fails at once: what it imports first cannot be imported."""
    broken = tmp_path / "unsloth.py"
    broken.write_text("raise RuntimeError('no GPU that it knows')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(PEER, "find_spec", lambda name: object())
    row = PEER.run(cell(), tmp_path / "log")
    assert (row["method"], row["status"]) == ("unsloth-lora", "error")
    assert row["message"] == "RuntimeError: no GPU that it knows"


def test_it_counts_among_peers(tmp_path: Path) -> None:
    rates = {"peft-lora": 10.0, "unsloth-lora": 20.0, "lora-fa": 22.0}
    rows: list[dict[str, Any]] = [{"method": name, "tokens_per_s": rate} for name, rate in rates.items()]
    BENCHMARK.write(tmp_path / "rates.csv", rows)
    assert [row["over_best_peer"] for row in rows] == [0.5, 1.0, 1.1]


def test_what_is_asked_of_unsloth(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def from_pretrained(folder: str, **options: Any) -> tuple[nn.Module, Any]:
        asked["from_pretrained"] = options
        return LlamaForCausalLM.from_pretrained(
            folder, dtype=options["dtype"]
        ), AutoTokenizer.from_pretrained(folder)

    def adapted(model: Any, **options: Any) -> nn.Module:
        asked["get_peft_model"] = options
        config = LoraConfig(r=options["r"], target_modules=options["target_modules"])
        return get_peft_model(model, config)

    unsloth: Any = ModuleType("unsloth")
    unsloth.FastLanguageModel = SimpleNamespace(from_pretrained=from_pretrained, get_peft_model=adapted)
    monkeypatch.setitem(sys.modules, "unsloth", unsloth)
    resolved = resolve_model(ModelChoice(name="tiny-llama"))
    model = build_model(
        resolved,
        device=torch.device("cpu"),
        dtype=torch.bfloat16,
        attention="sdpa",
        checkpointing="none",
    )
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    options = PEER.UnslothOptions(rank=4, dropout=0.1)
    prepared: Prepared = PEER.prepare(model, options, Setting(resolved.task, torch.bfloat16, "adamw"))
    assert asked["from_pretrained"]["load_in_4bit"] is False
    own = asked["get_peft_model"]
    assert (own["r"], own["lora_alpha"], own["lora_dropout"]) == (4, 8.0, 0.1)
    assert (
        asked["from_pretrained"]["use_gradient_checkpointing"] is own["use_gradient_checkpointing"] is False
    )
    trained = {name: p for name, p in prepared.model.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 7 * resolved.config.num_hidden_layers
    assert {p.dtype for p in trained.values()} == {torch.bfloat16}
    base = prepared.model.get_base_model().state_dict()  # type: ignore[operator]
    assert all(torch.equal(base[name], weights[name]) for name in base if name in weights)
    assert torch.equal(
        base["model.layers.0.mlp.up_proj.base_layer.weight"], weights["model.layers.0.mlp.up_proj.weight"]
    )
    assert prepared.model.training
