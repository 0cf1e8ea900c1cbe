"""The table of results that `lorafa-prof run` prints: in it no two cells look alike, whatever differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell, MethodChoice, ModelChoice, Steps
from lorafa_prof.cli.json_output import JsonOutput
from lorafa_prof.cli.results_table import print_results
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns

CELL = tiny_cell("tiny-llama", "lora", device="cuda")
OTHERS: dict[str, Any] = {
    "model": ModelChoice(name="tiny-llama", weights="pretrained"),
    "method": MethodChoice(name="lora", options={**CELL.method.options, "layers_to_transform": [0]}),
    "batch": 3,
    "seq": 7,
    "dtype": "bf16",
    "adapter_dtype": "bf16",
    "attention": "eager",
    "kernels": "fused",
    "checkpointing": "full",
    "optimizer": "sgd",
    "device": "cpu",
    "gpu": "h100-80gb",
    "steps": Steps(warmup=7),
    "seed": 3,
    "padding": 0.5,
    "accumulation": 2,
    "max_grad_norm": 1.0,
    "update": "backward",
    "quantization": "nf4",
    "double_quant": True,
    "autocast": "bf16",
    "kbit_prepare": True,
    "phase": "eval",
    "kept_logits": 5,
    "lengths": (7, 48),
    "packing": True,
    "loss": "chunked",
    "launch": "graph",
    "parallel": "ddp",
    "gpus": 2,
    "shard": Shard(reshard_after_forward=False),
    "instruments": ("fidelity",),
}
GIB = 2**30
OUT = Path("out")


def result(cell: Cell, **values: Any) -> CellResult:
    sizes = {"activation_bytes": GIB, "peak_allocated_bytes": 2 * GIB, "peak_reserved_bytes": 3 * GIB}
    return CellResult(cell=cell, row={**setting_columns(cell), "status": "ok", **sizes, **values})


def changed(name: str) -> Cell:
    return CELL.model_copy(update={name: OTHERS[name]})


@pytest.mark.parametrize("name", Cell.model_fields)
def test_two_cells_never_look_alike(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_results([result(CELL), result(changed(name))], OUT, JsonOutput(None))
    title, header, one, other = capsys.readouterr().out.splitlines()
    assert (title, header.split()[0]) == ("# results", "method")
    assert one != other


def test_what_all_share_is_said_once_and_what_nobody_measured_not_at_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    oom = result(changed("attention"), status="oom", failed_phase="backward", activation_bytes=None)
    print_results([result(CELL), oom], OUT, JsonOutput(None))
    shown = capsys.readouterr()
    assert "\nall cells: tiny-llama, r4, on all-linear, dropout 0, fp32 adapters, adamw, batch 2" in shown.err
    assert shown.out.splitlines() == [
        "# results",
        "method  attention  status           held       peak       reserved",
        "lora    sdpa       ok               1.000 GiB  2.000 GiB  3.000 GiB",
        "lora    eager      oom in backward  -          2.000 GiB  3.000 GiB",
    ]


def test_a_narrow_terminal_shows_as_much(terminal: Callable[[int], Callable[[], list[str]]]) -> None:
    cells = [CELL, changed("attention"), changed("checkpointing"), changed("seed")]
    results = [
        result(cell, activation_bytes=(i + 1) * GIB, step_ms_median=1613.2 + i, tokens_per_s=12999.0 - i)
        for i, cell in enumerate(cells)
    ]
    shown = terminal(50)
    print_results(results, OUT, JsonOutput(None))
    assert shown() == [
        "results, all with method lora, status ok, peak",
        "2.000 GiB, reserved 3.000 GiB",
        "  held       step      tokens/s",
        "attention sdpa, checkpointing none, settings",
        "seed=0",
        "  1.000 GiB  1,613 ms  12,999",
        "attention eager, checkpointing none",
        "  2.000 GiB  1,614 ms  12,998",
        "attention sdpa, checkpointing full",
        "  3.000 GiB  1,615 ms  12,997",
        "attention sdpa, checkpointing none, settings",
        "seed=3",
        "  4.000 GiB  1,616 ms  12,996",
    ]
