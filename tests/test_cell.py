from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, Steps
from lorafa_prof.parallel.shard import Shard

FIXED: dict[str, Any] = {
    "model": {"name": "tiny-llama"},
    "method": {"name": "lora", "options": {"rank": 4}},
    "batch": 1,
    "seq": 16,
    "dtype": "fp32",
    "adapter_dtype": "fp32",
    "attention": "sdpa",
    "kernels": "eager",
    "checkpointing": "none",
    "optimizer": "adamw",
    "device": "cpu",
}

names = st.text(min_size=0, max_size=300)
values = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | names
cells = st.builds(
    Cell,
    model=st.builds(
        ModelChoice,
        name=names,
        weights=st.sampled_from(["random", "pretrained"]),
        trust_remote_code=st.booleans(),
    ),
    method=st.builds(
        MethodChoice, name=names, options=st.dictionaries(st.sampled_from(["rank", "alpha", "x"]), values)
    ),
    batch=st.integers(1, 2**31),
    seq=st.integers(1, 2**31),
    dtype=st.sampled_from(["fp32", "bf16"]),
    adapter_dtype=st.sampled_from(["fp32", "bf16"]),
    attention=names,
    kernels=names,
    checkpointing=names,
    optimizer=names,
    device=names,
    gpu=st.none() | names,
    steps=st.builds(Steps, warmup=st.integers(1, 9), timed=st.integers(1, 9)),
    seed=st.integers(0, 5),
    padding=st.sampled_from([0.0, 0.25]),
    accumulation=st.integers(1, 3),
    max_grad_norm=st.sampled_from([None, 0.5]),
    update=st.sampled_from(["step", "backward"]),
    quantization=st.sampled_from(["none", "nf4"]),
    double_quant=st.booleans(),
    kbit_prepare=st.booleans(),
    phase=st.sampled_from(["train", "eval"]),
    kept_logits=st.integers(0, 2),
    lengths=st.sampled_from([(), (1, 2), (2, 1)]),
    packing=st.booleans(),
    loss=st.sampled_from(["full", "chunked"]),
    launch=st.sampled_from(["eager", "graph"]),
    parallel=st.sampled_from(["none", "ddp", "fsdp2"]),
    gpus=st.integers(1, 9),
    shard=st.builds(Shard, reshard_after_forward=st.booleans(), mp=st.sampled_from(["none", "bf16"])),
    instruments=st.sampled_from([(), ("fidelity",)]),
)


@given(cells)
def test_an_id_is_a_file_name_and_survives_the_process_border(cell):
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", cell.cell_id)
    assert len(cell.cell_id) < 220  # with a suffix and a temporary one below the 255 of file systems
    assert Cell.model_validate_json(cell.model_dump_json()).cell_id == cell.cell_id


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(st.lists(cells, min_size=2, max_size=6))
def test_equal_ids_are_equal_cells(some):
    for one in some:
        for other in some:
            same = one.model_dump_json() == other.model_dump_json()
            assert (one.cell_id == other.cell_id) == same


@given(st.sampled_from(sorted(set(Cell.model_fields) - {"model", "method", "steps"})), st.data())
def test_every_setting_is_in_the_id(name, data):
    plain = Cell.model_validate(FIXED)
    types = {
        "dtype": "bf16",
        "adapter_dtype": "bf16",
        "update": "backward",
        "phase": "eval",
        "lengths": (1, 2),
        "loss": "chunked",
        "launch": "graph",
        "parallel": "ddp",
        "shard": Shard(mp="bf16"),
        "instruments": ("fidelity",),
    }
    types |= dict.fromkeys(("double_quant", "kbit_prepare", "packing"), True)
    numbers = {
        name: st.integers(2, 99) for name in ("batch", "seq", "seed", "accumulation", "kept_logits", "gpus")
    }
    numbers |= {name: st.floats(0.01, 0.99) for name in ("padding", "max_grad_norm")}
    other = types.get(name) or data.draw(numbers.get(name, names.filter(lambda text: text != "cpu")))
    changed = plain.model_copy(update={name: other})
    assert (changed.cell_id == plain.cell_id) == (getattr(plain, name) == other)


@pytest.mark.parametrize(
    ("model", "method", "seq", "cell_id"),
    [
        (
            "llama-2-7b",
            {
                "name": "lora",
                "options": {
                    "rank": 8,
                    "alpha": 8.0,
                    "targets": "all-linear",
                    "dropout": 0.0,
                    "rslora": False,
                },
            },
            1024,
            "llama-2-7b_lora_r8_b8_s1024_a8ff7c4184",
        ),
        ("roberta-base", {"name": "full-ft"}, 512, "roberta-base_full-ft_b8_s512_5c6ab335d2"),
    ],
)
@pytest.mark.parametrize(
    "added",
    [{}, {"padding": 0, "accumulation": 1, "max_grad_norm": None, "update": "step", "autocast": "none"}],
)
def test_cells_of_the_shipped_reports_keep_their_ids(model, method, seq, cell_id, added):
    """Of reports/h100: axes that were added since are in an id only where they are not at their defaults."""
    shipped = {"dtype": "bf16", "adapter_dtype": "bf16", "device": "cuda", "gpu": "h100-80gb"}
    fields = {**FIXED, "model": {"name": model}, "method": method, "batch": 8, "seq": seq, **shipped, **added}
    cell = Cell.model_validate(fields)
    assert cell.cell_id == cell_id
    for other in (
        {"padding": 0.25},
        {"accumulation": 2},
        {"max_grad_norm": 1.0},
        {"update": "backward"},
        {"autocast": "bf16"},
        {"phase": "eval"},
        {"loss": "chunked"},
        {"launch": "graph"},
        {"parallel": "ddp"},
        {"gpus": 2},
        {"shard": {"mp": "bf16"}},
        {"instruments": ["fidelity"]},
    ):
        assert Cell.model_validate({**fields, **other}).cell_id != cell_id


def test_an_id_is_the_same_in_another_process():
    plain = Cell.model_validate(FIXED)
    code = f"from lorafa_prof.cell import Cell; print(Cell.model_validate({FIXED!r}).cell_id)"
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == plain.cell_id


def test_an_id_begins_with_what_a_person_looks_for():
    assert re.fullmatch(r"tiny-llama_lora_r4_b1_s16_[0-9a-f]{10}", Cell.model_validate(FIXED).cell_id)
    for name in ("meta-llama/my-net", "/data/my-net/", "/data/my-net/config.json", "x/my-net.json"):
        cell = Cell.model_validate({**FIXED, "model": {"name": name}})
        assert cell.cell_id.startswith("my-net_lora_r4_")


def test_long_names_make_no_file_name_that_is_too_long(tmp_path):
    for change in ({"model": {"name": "m" * 300}}, {"method": {"name": "m" * 300, "options": {"rank": 4}}}):
        cell = Cell.model_validate({**FIXED, **change})
        (tmp_path / f".{cell.cell_id}.json.1234567.part").touch()
        other = Cell.model_validate({**FIXED, **change, "seq": 32})
        assert other.cell_id != cell.cell_id
