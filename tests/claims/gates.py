"""Scenarios made ready to be judged, and results of their four cells."""

from __future__ import annotations

from typing import Any

from claimed import result, scenario
from stored import storage

from lorafa_prof.claims.baseline import Baseline
from lorafa_prof.claims.finding import Judgement
from lorafa_prof.claims.gate import Gate, gate_of, judged
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.store import Store

HEAD = """\
schema: 1
name: mine
model: tiny-llama
method:
  - {name: lora, rank: [4, 8]}
  - {name: lora-fa, rank: [4, 8]}
batch: 2
seq: 48
gpu: h100-80gb
claims:
"""
PAYS: dict[str, Any] = {"of": {"method": "lora-fa"}, "relative_to": {"method": "lora"}, "at_most": 0.9}
SMALL: dict[str, Any] = {"of": {"rank": 8}, "at_most": 100}
KEPT: dict[str, Any] = {"of": {"method": "lora"}, "at_most": "baseline"}
CLOCK: dict[str, Any] = {"metric": "step_ms_median", "at_most": 100}


def gate(*claims: dict[str, Any], pattern: str | None = None) -> Gate:
    return gate_of(scenario(*claims, head=HEAD), pattern)


def records(of: Gate, *sizes: int | None) -> dict[str, CellResult]:
    """The cells of a gate, in the order of `HEAD`, hold so much; None: out of memory."""
    cells = [plan.cell for plan in of.planned]
    return {
        each.cell_id: result(each, storages=[storage("q", size)], activation_bytes=size)
        if size is not None
        else result(each, status="oom", failed_phase="forward")
        for each, size in zip(cells, sizes, strict=True)
    }


def replaced(of: dict[str, CellResult], index: int, **row: Any) -> dict[str, CellResult]:
    cell_id = list(of)[index]
    return {**of, cell_id: result(of[cell_id].cell, **row)}


def saved(store: Store, of: dict[str, CellResult]) -> Store:
    for each in of.values():
        store.save(each)
    return store


def judgement(
    of: Gate, results: dict[str, CellResult], store: Store, baseline: Baseline | None = None
) -> Judgement:
    return judged(of, results, saved(store, results), baseline)


OF = gate(PAYS, SMALL)
WELL = records(OF, 100, 100, 50, 60)
