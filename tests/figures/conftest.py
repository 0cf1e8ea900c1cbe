from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lorafa_prof.results.columns import COLUMN_NAMES, COLUMNS
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.records import Results
from lorafa_prof.results.table import pandas_dtype

GIB = 2**30

DEFAULTS: dict[str, Any] = {
    "status": "ok",
    "model": "llama-2-7b",
    "method": "lora",
    "rank": 8,
    "targets": "all-linear",
    "dropout": 0.0,
    "batch": 8,
    "seq": 1024,
    "dtype": "bf16",
    "adapter_dtype": "bf16",
    "attention": "sdpa",
    "kernels": "eager",
    "checkpointing": "none",
    "optimizer": "adamw",
    "device": "cuda",
    "gpu": "NVIDIA H100 80GB HBM3",
}

METRICS: dict[str, Any] = {
    "weights_bytes": 13 * GIB,
    "gradients_bytes": 1 * GIB,
    "optimizer_bytes": 2 * GIB,
    "activation_bytes": 42 * GIB,
    "peak_allocated_bytes": 60 * GIB,
    "flops_forward": 100 * 10**12,
    "flops_backward": 120 * 10**12,
    "flops_step": 221 * 10**12,
    "step_ms_median": 640.0,
    "step_ms_p05": 600.0,
    "step_ms_p95": 700.0,
    "tokens_per_s": 12800.0,
}

Table = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def table() -> Table:
    """Makes a table from what differs from one LoRA cell; full-ft has no rank, OOM cells no metric."""

    def make(*rows: dict[str, Any]) -> pd.DataFrame:
        numbers = itertools.count()
        filled = [_row(row, f"cell{next(numbers)}") for row in rows]
        frame = pd.DataFrame(filled, columns=list(COLUMN_NAMES), dtype=object)
        return frame.astype({column.name: pandas_dtype(column) for column in COLUMNS})

    return make


@pytest.fixture(scope="session")
def results(table: Table) -> Callable[..., Results]:
    """Makes results from rows and the details of some cells' records; others have none."""

    def make(*rows: dict[str, Any], details: dict[str, Any], **more: Any) -> Results:
        def load(cell_id: str) -> CellResult | None:
            if cell_id not in details:
                return None
            return CellResult.model_construct(details=details[cell_id])

        return Results(table(*rows), load, **more)

    return make


def _row(given: dict[str, Any], cell_id: str) -> dict[str, Any]:
    row = {"cell_id": cell_id, **DEFAULTS}
    if given.get("method") == "full-ft":
        row |= dict.fromkeys(("rank", "targets", "dropout", "adapter_dtype"))
    if given.get("status", "ok") == "ok":
        row |= METRICS
    return row | given
