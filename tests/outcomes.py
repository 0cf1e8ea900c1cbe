"""Sides of a comparison that no cell was run for: results told what to hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cells import GPU, make_cell
from stored import PACKAGES

from lorafa_prof.cell import Cell, twin_device
from lorafa_prof.claims.finding import Finding, Item, Judgement
from lorafa_prof.comparing.compare import compare
from lorafa_prof.comparing.metrics import Comparison
from lorafa_prof.comparing.sides import Outcome, Side, outcome_of
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.row import setting_columns
from lorafa_prof.results.store import Store

HOST = {"cpu": "a CPU", "cores_physical": 2, "cores_logical": 2, "memory_bytes": 2**34}


def environment(**changes: Any) -> dict[str, Any]:
    """As a run writes it; `changes` are versions of packages, or whole parts where they are dicts."""
    packages = PACKAGES | {name: version for name, version in changes.items() if isinstance(version, str)}
    parts = {name: part for name, part in changes.items() if isinstance(part, dict)}
    return {
        "packages": packages,
        "torch": {"cuda": "13.0"},
        "allocator": {},
        "host": HOST,
        "gpu": None,
    } | parts


def on(kind: str, gpu: str = GPU, *, batch: int = 1, method: str = "lora", **settings: Any) -> Cell:
    """A cell on the twin ("sim"), on "cuda" or on the "cpu"."""
    device = twin_device(gpu) if kind == "sim" else kind
    options = {"config": {"peft_type": "LORA", "r": 4}} if method == "peft" else {"rank": 4}
    options = {} if method == "full-ft" else settings.pop("options", options)
    settings = {"gpu": None if kind == "cpu" else gpu, **settings}
    return make_cell(method, options=options, batch=batch, device=device, **settings)


def result(
    cell: Cell,
    *,
    status: str = "ok",
    step_ms: Sequence[float] = (),
    phases_ms: Sequence[float] = (),
    storages: Sequence[dict[str, Any]] | None = None,
    retries: int = 0,
    unavailable: dict[str, str] | None = None,
    machine: dict[str, Any] | None = None,
    marks: dict[str, str] | None = None,
    **row: Any,
) -> CellResult:
    """A result of `cell`; `phases_ms` are the samples of each phase."""
    details: dict[str, Any] = {
        "memory": {"num_alloc_retries": retries},
        "unavailable": unavailable or {},
        "marks": marks or {},
    }
    if step_ms:
        phases = {phase: list(phases_ms) for phase in ("forward", "backward", "optimizer")}
        details["times"] = {"step_ms": list(step_ms), "phase_ms": phases}
    if storages is not None:
        details["saved"] = {"storages": list(storages), "held_otherwise": []}
    return CellResult(
        cell=cell,
        row={**setting_columns(cell), "status": status, **row},
        details=details,
        environment=environment() if machine is None else machine,
    )


def outcome(cell: Cell, **given: Any) -> Outcome:
    return outcome_of(result(cell, **given))


def side(*results: CellResult, name: str = "out") -> Side:
    return Side(Path(name), tuple(outcome_of(each) for each in results))


def compared(base: CellResult, new: CellResult, asked: Comparison | None = None) -> Judgement:
    return compare(side(base, name="BASE"), side(new, name="NEW"), asked or Comparison())


def only(judgement: Judgement) -> Finding:
    (finding,) = judgement.findings
    return finding


def item(judgement: Judgement, what: str) -> Item:
    (found,) = (item for item in only(judgement).items if item.what == what)
    return found


def words(judgement: Judgement) -> dict[str, str]:
    """What is said of each metric of the one finding."""
    return {item.what: item.word for item in only(judgement).items}


def write(out: Path, *results: CellResult) -> Path:
    """The folder of a run with these results."""
    store = Store(out)
    store.prepare()
    for each in results:
        store.save(each)
    kept = {each.cell.cell_id: each for each in results}
    store.write_table(list(kept), kept)
    return out
