"""Cells of several GPUs that are predicted: each kind of rank, the worst one's row, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.errors import UsageError
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.results.record import CellResult
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.running.recorded_step import record_step

GPU = "h100-80gb"


def cell(method: str = "lora-fa", **settings: Any) -> Cell:
    return tiny_cell(
        "tiny-llama",
        method,
        **{"device": f"sim:{GPU}", "gpu": GPU, "parallel": "fsdp2", "gpus": 2} | settings,
    )


def column(results: list[CellResult], name: str) -> list[Any]:
    return [result.row[name] for result in results]


@pytest.mark.parametrize("method", ["full-ft", "lora", "lora-fa", "peft-lora"])
def test_each_method_is_sharded(method: str) -> None:
    one, two = (measure_cell(cell(method, gpus=gpus)) for gpus in (1, 2))
    alone = measure_cell(cell(method, gpus=1, parallel="none"))
    assert column([one, two], "status") == ["ok", "ok"]
    assert one.row["weights_bytes"] == alone.row["weights_bytes"]
    assert one.row["optimizer_bytes"] == alone.row["optimizer_bytes"]
    # Buffers, step counts and the matrices of LoRA-FA's correction are whole on each.
    for name in ("weights_bytes", "optimizer_bytes"):
        assert 0 <= 2 * two.row[name] - one.row[name] < 2048
    assert two.row["activation_bytes"] == one.row["activation_bytes"] == alone.row["activation_bytes"]
    assert column([one, two], "saved_bytes") == [alone.row["saved_bytes"]] * 2
    assert column([one, two], "params_trainable") == [alone.row["params_trainable"]] * 2


def test_ddp_has_all_of_it_on_each_gpu_and_buckets_beside() -> None:
    two = measure_cell(cell("full-ft", parallel="ddp"))
    alone = measure_cell(cell("full-ft", parallel="none", gpus=1))
    for name in ("weights_bytes", "gradients_bytes", "optimizer_bytes"):
        assert two.row[name] == alone.row[name]
    buckets = two.details["memory"]["phases"]["forward"]["start"]["requested"]
    buckets -= alone.details["memory"]["phases"]["forward"]["start"]["requested"]
    assert 0 <= buckets - alone.row["gradients_bytes"] < 1024


def test_each_kind_of_rank_is_predicted_and_the_row_is_the_worst_ones() -> None:
    result = measure_cell(cell("full-ft", gpus=3))
    # Of 64 rows of a matrix the last of three ranks has 20, the others 22.
    assert result.details["alike_ranks"] == [[0, 1], [2, 2]]
    first, last = result.details["ranks"]
    assert (first["rank"], last["rank"]) == (0, 2)
    assert first["optimizer_bytes"] > last["optimizer_bytes"] > 0
    assert result.row["peak_allocated_bytes"] == max(
        first["peak_allocated_bytes"], last["peak_allocated_bytes"]
    )


def test_ranks_without_a_row_of_an_adapter_run_too() -> None:
    result = measure_cell(cell("lora", gpus=16))
    assert result.row["status"] == "ok"
    assert [alike[0] for alike in result.details["alike_ranks"]] == [
        r["rank"] for r in result.details["ranks"]
    ]
    assert len(result.details["ranks"]) > 1


def test_the_settings_of_a_shard_are_those_of_its_memory() -> None:
    kept, mixed, usual = (
        measure_cell(cell("full-ft", shard=shard))
        for shard in (Shard(reshard_after_forward=False), Shard(mp="bf16"), Shard())
    )
    # What is kept of a step in fp32 is parameters.
    assert kept.row["activation_bytes"] - usual.row["activation_bytes"] >= usual.row["params_total"] * 4
    assert mixed.row["activation_bytes"] < usual.row["activation_bytes"]


def test_a_recorded_step_knows_what_shards_are_for() -> None:
    sharded = cell("full-ft")
    recorded, row = record_step(sharded), measure_cell(sharded).row
    start = recorded.timeline.spans[-3].start
    live: dict[int, int] = {}
    for event in recorded.timeline.events[:start]:
        live[event.allocation] = event.requested_bytes if event.kind == "alloc" else 0
    by_kind = Counter[str]()
    for allocation, size in live.items():
        by_kind[recorded.timeline.kinds[allocation]] += size
    # Shards are in memory for as many rows as the first rank has.
    assert 0 <= by_kind["weights"] - row["weights_bytes"] < 2048
    assert by_kind["optimizer"] == row["optimizer_bytes"]


def test_shards_on_the_host_are_not_predicted() -> None:
    with pytest.raises(UsageError, match=r"shard\.offload 'cpu' is not predicted"):
        measure_cell(cell(shard=Shard(offload="cpu")))


def test_a_number_without_dimensions_has_no_rows_to_shard() -> None:
    with pytest.raises(
        UsageError, match=r"'logit_scale' is a number without dimensions; set parallel to ddp"
    ):
        measure_cell(tiny_cell("tiny-clip", parallel="fsdp2", gpus=2, device="sim:h200", gpu="h200"))


@pytest.mark.parametrize("parallel", ["fsdp2", "ddp"])
def test_it_sends_what_two_processes_send(parallel: str) -> None:
    predicted = measure_cell(cell("lora", parallel=parallel)).details["communication"]
    two = measure_cell(cell("lora", parallel=parallel, device="cpu", gpu=None)).details["communication"]
    assert json.loads(json.dumps(predicted)) == two


@pytest.mark.parametrize(
    "settings",
    [
        {"checkpointing": "full"},
        {"accumulation": 2, "max_grad_norm": 1.0},
        {"autocast": "bf16", "dtype": "fp32"},
        {"kernels": "fused"},
        {"optimizer": "adamw-foreach"},
        {"loss": "chunked"},
        {"quantization": "fp8"},
    ],
    ids=str,
)
@pytest.mark.parametrize("parallel", ["fsdp2", "ddp"])
def test_other_settings_go_with_ranks(parallel: str, settings: dict[str, Any]) -> None:
    assert measure_cell(cell(parallel=parallel, **settings)).row["status"] == "ok"
