"""Folders of results that nothing measured, for reports of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import stored
from cells import GPU, TWIN
from tiny_cells import tiny_cell

from lorafa_prof.cell import Cell
from lorafa_prof.report.content import Content, content_of
from lorafa_prof.report.reading import read_source
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.records import read_known_results
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.store import Store

MIB = 2**20
ENVIRONMENT = {"device": TWIN, "packages": {"torch": "2.13.0", "peft": None}}


def cell(method: str = "lora", rank: int = 4, *, model: str = "tiny-llama", **settings: Any) -> Cell:
    """On the twin; `settings` are fields of Cell."""
    return tiny_cell(model, method, rank=rank, device=TWIN, **settings)


def storage(module: str, nbytes: int, kind: str = "norm", **changes: Any) -> dict[str, Any]:
    """A saved tensor as a record has it, of a norm."""
    return stored.storage(module, nbytes, kind, **{"op": "mul", "line": "model.py:7", **changes})


def details(*storages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Of a record, with the memory of its phases."""

    def counters(allocated: int) -> dict[str, int]:
        return {"allocated": allocated, "requested": allocated, "active": allocated, "reserved": allocated}

    by_module: dict[str, int] = {}
    for each in storages:
        by_module[each["module"]] = by_module.get(each["module"], 0) + each["nbytes"]
    phases = {
        phase: {"start": counters(MIB), "peak": counters(peak), "end": counters(2 * MIB)}
        for phase, peak in (("forward", 8 * MIB), ("backward", 10 * MIB), ("optimizer", 3 * MIB))
    }
    return {
        "memory": {"phases": phases},
        "saved": {"storages": list(storages), "held_otherwise": [], "by_module": by_module},
        "flops": {"by_phase": {"forward": 10**9, "backward": 2 * 10**9, "optimizer": 0}},
        "notes": [],
        "unavailable": {},
        **more,
    }


METRICS = {
    "weights_bytes": 4 * MIB,
    "gradients_bytes": 1 * MIB,
    "optimizer_bytes": 2 * MIB,
    "activation_bytes": 3 * MIB,
    "peak_allocated_bytes": 12 * MIB,
    "peak_reserved_bytes": 14 * MIB,
}


def record(of: Cell, status: str = "ok", kept: dict[str, Any] | None = None, **row: Any) -> CellResult:
    """What a cell yielded; `kept` are its details, `row` what differs from `METRICS`."""
    metrics = METRICS if status == "ok" else {}
    return CellResult(
        cell=of,
        row={**setting_columns(of), "status": status, **metrics, **row},
        details=details(storage("layers.0.norm", MIB), storage("layers.1.norm", MIB))
        if kept is None
        else kept,
        environment=ENVIRONMENT,
    )


def write_run(out: Path, records: Sequence[CellResult], **scenario: Any) -> Path:
    """Write a folder as `lorafa-prof run` does; `scenario` are keys of the scenario in its provenance."""
    store = Store(out)
    store.prepare()
    ids = [each.cell.cell_id for each in records]
    for each in records:
        store.save(each)
    store.write_table(ids, {each.cell.cell_id: each for each in records})
    models = list(dict.fromkeys(each.cell.model.name for each in records))
    methods = [
        {"name": each.cell.method.name, **each.cell.method.options}
        for index, each in enumerate(records)
        if each.cell.method not in [before.cell.method for before in records[:index]]
    ]
    first = records[0].cell
    store.write_provenance(
        {
            "schema_version": 1,
            "written": "2026-01-02T03:04:05+00:00",
            "command": ["lorafa-prof", "run", "mine.yaml", "-o", str(out)],
            "scenario": {
                "schema": 1,
                "name": "made-up",
                "model": models,
                "method": methods,
                "batch": sorted({each.cell.batch for each in records}),
                "seq": sorted({each.cell.seq for each in records}),
                "dtype": first.dtype,
                "device": ["auto"],
                "gpu": [GPU],
                "steps": first.steps.model_dump(),
                **scenario,
            },
            "cells": ids,
            "environments": [ENVIRONMENT],
        }
    )
    return out


def rewrite(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def content(out: Path) -> Content:
    """What a report of `out` says."""
    return content_of(read_source(out, read_known_results(out)))
