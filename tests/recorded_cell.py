"""A cell as a real GPU ran it, and results made of it."""

from __future__ import annotations

import json
import lzma
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.verification.operations import Trace
from lorafa_prof.verification.traces import trace_of

FILE = Path(__file__).parent / "verification" / "data" / "tiny-mistral.json.xz"


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(lzma.decompress(FILE.read_bytes()))
    return loaded


def recorded_cell() -> Cell:
    return Cell.model_validate(_data()["cell"])


def gpu_trace() -> Trace:
    return trace_of(_data())


def trace_data() -> dict[str, Any]:
    return {name: deepcopy(_data()[name]) for name in ("stream", "plain")}


def memory(kind: str = "measured") -> dict[str, Any]:
    return deepcopy(_data()[kind])


def result(
    cell: Cell | None = None, memory: dict[str, Any] | None = None, status: str = "ok", **row: Any
) -> CellResult:
    """What a process of `cell` might give."""
    one = cell or recorded_cell()
    settings = setting_columns(one)
    return CellResult(
        cell=one,
        row={**settings, "status": status, **row},
        details={} if memory is None else {"memory": memory},
        environment={
            "packages": {"torch": "2.11.0+cu130"},
            "gpu": {"name": "NVIDIA H100 80GB HBM3", "driver": "580.95.05"},
        },
    )
