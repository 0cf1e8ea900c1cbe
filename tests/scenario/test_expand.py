from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorafa_prof.cell import Cell, ResolvedDevice
from lorafa_prof.errors import ScenarioError, UsageError
from lorafa_prof.scenario.expand import expand
from lorafa_prof.scenario.load import load_scenario

BASE = {"schema": 1, "name": "x", "model": "tiny-llama", "method": "lora"}

CONTRACT = """\
schema: 1
name: rank-sweep
model: [llama-2-7b]            # preset, local config.json or directory, or hub id
method:                        # options of a method are axes too
  - full-ft
  - {name: lora,    rank: [8, 64], targets: all-linear, dropout: 0.0}
  - {name: lora-fa, rank: [8, 64], targets: all-linear, dropout: 0.0}
batch: 8
seq: [512, 1024, 2048]
dtype: bf16                    # base weights
adapter_dtype: bf16
attention: sdpa
kernels: eager
checkpointing: none
optimizer: adamw
device: auto                   # cuda where there is one, else the twin of the scenario's `gpu`
gpu: h100-80gb
steps: {warmup: 3, timed: 10}
claims:
  - name: freezing A pays
    source: "arXiv 2308.03303"
    metric: activation_bytes
    of: {method: lora-fa}
    relative_to: {method: lora}
    at_most: 0.85
"""


def here(device: str, gpu: str) -> ResolvedDevice:
    return ResolvedDevice("cuda", gpu) if device == "cuda" else ResolvedDevice("cpu", None)


def cells_of(tmp_path: Path, written: dict[str, Any] | str) -> list[Cell]:
    file = tmp_path / "s.yaml"
    file.write_text(written if isinstance(written, str) else yaml.safe_dump(written, sort_keys=False))
    return [planned.cell for planned in expand(load_scenario(file), here)]


@pytest.fixture
def cells(tmp_path):
    return lambda **settings: cells_of(tmp_path, {**BASE, **settings})


def test_the_scenario_of_the_contract(tmp_path):
    found = cells_of(tmp_path, CONTRACT)
    assert [(c.method.name, c.method.options.get("rank"), c.seq) for c in found] == [
        *(("full-ft", None, seq) for seq in (512, 1024, 2048)),
        *((name, rank, seq) for name in ("lora", "lora-fa") for rank in (8, 64) for seq in (512, 1024, 2048)),
    ]
    for cell in found:
        assert cell.model.model_dump() == {
            "name": "llama-2-7b",
            "weights": "random",
            "trust_remote_code": False,
            "folder": "",
        }
        assert (cell.batch, cell.dtype, cell.adapter_dtype, cell.device) == (8, "bf16", "bf16", "cpu")
        assert (cell.attention, cell.kernels, cell.checkpointing) == ("sdpa", "eager", "none")
        assert (cell.optimizer, cell.steps.warmup, cell.steps.timed) == ("adamw", 3, 10)
    assert found[3].method.options == {
        "rank": 8,
        "alpha": 8.0,
        "targets": "all-linear",
        "dropout": 0.0,
        "rslora": False,
    }


def test_what_a_scenario_leaves_out(cells):
    (cell,) = cells()
    assert (cell.batch, cell.seq, cell.dtype, cell.seed) == (8, 1024, "bf16", 0)
    assert (cell.attention, cell.kernels, cell.checkpointing) == ("sdpa", "eager", "none")
    assert (cell.optimizer, cell.device) == ("adamw", "cpu")
    assert cell.steps.model_dump() == {"warmup": 3, "timed": 10}
    assert (cell.padding, cell.accumulation, cell.max_grad_norm, cell.autocast) == (0.0, 1, None, "none")
    assert cell.method.options["rank"] == 8


def test_the_sweep_is_the_product_of_all_axes_in_their_order(cells):
    found = cells(
        model=["tiny-llama", "tiny-gpt2"],
        method=[{"name": "lora", "rank": [4, 8], "alpha": [8, 16]}, "full-ft"],
        batch=[2, 1],
        optimizer=["adamw", "sgd"],
    )
    settings = [
        (c.model.name, c.method.options.get("rank"), c.method.options.get("alpha"), c.batch, c.optimizer)
        for c in found
    ]
    ranks = [(4, 8.0), (4, 16.0), (8, 8.0), (8, 16.0), (None, None)]
    assert settings == [
        (model, rank, alpha, batch, optimizer)
        for model in ("tiny-llama", "tiny-gpt2")
        for rank, alpha in ranks
        for batch in (2, 1)
        for optimizer in ("adamw", "sgd")
    ]


@pytest.mark.parametrize(
    ("method", "dtype", "adapter_dtype"),
    [
        ("lora", "bf16", "bf16"),
        ("lora-fa", "fp16", "fp16"),
        ("lora", "fp32", "fp32"),
        ("peft-lora", "bf16", "fp32"),
        ("peft-lora-fa", "fp16", "fp32"),
        ("peft-lora", "fp32", "fp32"),
        ("peft-lora", "fp64", "fp64"),
        ("full-ft", "bf16", "bf16"),
    ],
)
def test_adapters_have_their_methods_default_type(cells, method, dtype, adapter_dtype):
    assert [c.adapter_dtype for c in cells(method=method, dtype=dtype)] == [adapter_dtype]


def test_full_ft_is_one_cell_whatever_the_types_of_adapters(cells):
    found = cells(method=["full-ft", "lora"], dtype=["bf16", "fp32"], adapter_dtype=["bf16", "fp32"])
    assert [(c.method.name, c.dtype, c.adapter_dtype) for c in found] == [
        ("full-ft", "bf16", "bf16"),
        ("full-ft", "fp32", "fp32"),
        *(("lora", dtype, adapter) for dtype in ("bf16", "fp32") for adapter in ("bf16", "fp32")),
    ]


def test_a_method_entry_sets_axes_for_itself(cells):
    found = cells(
        method=["lora", {"name": "lora-fa", "batch": [1, 2], "adapter_dtype": "fp32"}, "peft-lora"],
        batch=4,
        adapter_dtype="bf16",
    )
    assert [(c.method.name, c.batch, c.adapter_dtype) for c in found] == [
        ("lora", 4, "bf16"),
        ("lora-fa", 1, "fp32"),
        ("lora-fa", 2, "fp32"),
        ("peft-lora", 4, "bf16"),
    ]
    # Nothing as a value: back to the method's default.
    own = cells(method=[{"name": "lora", "adapter_dtype": None}], adapter_dtype="fp32", dtype="bf16")
    assert [c.adapter_dtype for c in own] == ["bf16"]


def test_padding_accumulation_and_clipping_are_axes_of_the_scenario_and_of_a_method(cells):
    found = cells(
        method=["lora", {"name": "full-ft", "padding": 0, "accumulation": 4, "max_grad_norm": None}],
        padding=[0, 0.25],
        accumulation=[1, 2],
        max_grad_norm=[None, 1],
    )
    assert [(c.method.name, c.padding, c.accumulation, c.max_grad_norm) for c in found] == [
        *(("lora", p, a, n) for p in (0.0, 0.25) for a in (1, 2) for n in (None, 1.0)),
        ("full-ft", 0.0, 4, None),
    ]
    assert cells(padding=[0, 0.0], max_grad_norm=[1, 1.0], accumulation=[1, 1])[1:] == []


@pytest.mark.parametrize("written", [["fidelity"], "fidelity", [["fidelity"]], ["fidelity", "fidelity"]])
def test_instruments_are_one_value_of_a_cell_though_a_list(cells, written):
    (asked,) = cells(instruments=written)
    assert asked.instruments == ("fidelity",)
    (plain,) = cells(instruments=[])
    assert plain == cells()[0] != asked
    own = cells(method=["lora", {"name": "lora-fa", "instruments": ["fidelity"]}])
    assert [cell.instruments for cell in own] == [(), ("fidelity",)]
    unasked = cells(method=["lora", {"name": "lora-fa", "instruments": []}], instruments=["fidelity"])
    assert [cell.instruments for cell in unasked] == [("fidelity",), ()]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ({"max_grad_norm": None}, [(0.0, 1.0), (0.5, 1.0)]),
        ({"max_grad_norm": 1}, [(0.0, None), (0.5, None)]),
        ({"padding": 0, "max_grad_norm": [None, 1]}, [(0.5, None), (0.5, 1.0)]),
    ],
)
def test_exclude_matches_numbers_and_null(cells, exclude, left):
    found = cells(padding=[0, 0.5], max_grad_norm=[None, 1], exclude=exclude)
    assert [(c.padding, c.max_grad_norm) for c in found] == left


def test_a_list_of_lists_sweeps_sets_of_targets(cells):
    (entry,) = [{"name": "lora", "targets": [["v_proj", "q_proj"], "all-linear", "q_proj,v_proj"]}]
    assert [c.method.options["targets"] for c in cells(method=entry)] == ["q_proj,v_proj", "all-linear"]
    lone = cells(method={"name": "lora", "targets": ["v_proj", "q_proj"]})
    assert [c.method.options["targets"] for c in lone] == ["v_proj", "q_proj"]


def test_what_is_the_same_is_measured_once(cells):
    found = cells(
        model=["tiny-llama", {"name": "tiny-llama"}],
        method=["lora", {"name": "lora", "rank": [8, 8], "alpha": [8, 8.0]}, "lora"],
        batch=[2, 2],
        device=["auto", "cpu"],
    )
    assert len(found) == 1


def test_devices_are_an_axis_as_resolved(cells):
    found = cells(device=["cpu", "cuda"], gpu=["h100-80gb", "a100-80gb"], batch=[1, 2])
    assert [(c.device, c.gpu, c.batch) for c in found] == [
        (device, gpu, batch)
        for device, gpu in [("cpu", None), ("cuda", "h100-80gb"), ("cuda", "a100-80gb")]
        for batch in (1, 2)
    ]


def test_the_order_is_the_same_in_another_process(tmp_path):
    first = [cell.cell_id for cell in cells_of(tmp_path, CONTRACT)]
    code = (
        "import sys; from pathlib import Path; from lorafa_prof.scenario.load import load_scenario;"
        "from lorafa_prof.scenario.expand import expand, ResolvedDevice;"
        "cells = expand(load_scenario(Path(sys.argv[1])), lambda d, g: ResolvedDevice('cpu', None));"
        "print(*(p.cell.cell_id for p in cells))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s.yaml")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == first


LORA_4 = [("lora", 4, 1), ("lora", 4, 2)]
LORA_8 = [("lora", 8, 1), ("lora", 8, 2)]
FULL_1, FULL_2 = ("full-ft", None, 1), ("full-ft", None, 2)


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([{"rank": 4}], [*LORA_8, FULL_1, FULL_2]),
        ({"method": "full-ft", "batch": 2}, [*LORA_4, *LORA_8, FULL_1]),
        ([{"rank": [4, 8], "batch": 1}], [LORA_4[1], LORA_8[1], FULL_1, FULL_2]),
        ([{"method": "lora"}, {"batch": 2}], [FULL_1]),
        ([{"model": "tiny-llama", "alpha": 8, "rank": 8}], [*LORA_4, FULL_1, FULL_2]),
    ],
)
def test_exclude_leaves_out_what_a_rule_matches_in_all_its_keys(cells, exclude, left):
    found = cells(method=[{"name": "lora", "rank": [4, 8]}, "full-ft"], batch=[1, 2], exclude=exclude)
    assert [(c.method.name, c.method.options.get("rank"), c.batch) for c in found] == left


def test_exclude_reads_options_as_the_method_does(cells):
    method = {"name": "lora", "targets": ["q_proj,v_proj", "all-linear"]}
    for written in (["v_proj", "q_proj"], "v_proj,q_proj"):
        found = cells(method=method, exclude=[{"targets": [written]}])
        assert [c.method.options["targets"] for c in found] == ["all-linear"]


def test_a_rule_without_a_cell_is_an_error_but_not_where_an_override_or_a_device_made_it_so(tmp_path):
    written = {**BASE, "exclude": [{"batch": 8, "rank": 4}]}
    with pytest.raises(UsageError, match=re.escape("exclude[0]: no cell matches this")):
        cells_of(tmp_path, written)
    assert len(expand(load_scenario(tmp_path / "s.yaml", ["batch=4"]), here)) == 1
    assert len(cells_of(tmp_path, {**BASE, "exclude": [{"device": "cuda"}]})) == 1


def test_the_number_of_cells_is_found_before_any_is_made(tmp_path, monkeypatch):
    def never(*args: object) -> None:
        raise AssertionError("a cell was made")

    file = tmp_path / "s.yaml"
    ranks = list(range(1, 1001))
    file.write_text(
        "schema: 1\nname: x\nmodel: [tiny-llama, tiny-gpt2]\nseq: [16, 32]\ndevice: cpu\n"
        f"method: [full-ft, {{name: lora, rank: {ranks}, batch: [1, 2, 3]}}]\n"
    )
    loaded = load_scenario(file)
    monkeypatch.setattr("lorafa_prof.scenario.expand.validated_options", never)
    with pytest.raises(ScenarioError, match=r"its axes make 12,004 cells, 10,000 are the most"):
        expand(loaded, lambda device, gpu: ResolvedDevice("cpu", None))
    with pytest.raises(ScenarioError, match="a cell was made"):
        expand(replace(loaded, most_cells=12_004), lambda device, gpu: ResolvedDevice("cpu", None))
