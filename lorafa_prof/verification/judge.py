"""Comparing what predicting and measuring a cell gave: the record of its verification and its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorafa_prof.cell import Cell
from lorafa_prof.instruments.allocations.stream import PlainAllocation, Stream, steps_of
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.verification.differences import Group, OperationDifference, grouped, step_differences
from lorafa_prof.verification.residuals import (
    EXACT_COUNTERS,
    PhaseResidual,
    is_exact,
    metric_residuals,
    phase_residuals,
)
from lorafa_prof.verification.unrecorded import mark_explained, unrecorded_differences
from lorafa_prof.verification.verify_csv import AGREES, PLACED_METRICS, SETTINGS, Status

SCHEMA_VERSION = 1


class VerifyRecord(BaseModel):
    """The verification of a cell, as kept in OUT/verify/<cell_id>.json.

    Attributes:
        row: its row of verify.csv.
        phases: predicted, measured and residual bytes by phase, point and counter.
        recording: the same for the recorded GPU run (as predicted) and the measured one, where recording
            itself changed the bytes.
        operations: groups of differing operations by part of the run; ``unrecorded`` is the one that counts,
            the others name what it cannot. None if nothing was recorded.
        predicted: result on the twin.
        measured: result on the GPU, as `lorafa-prof run` measures.
        recorded: result on the GPU under a recorder; None if that was not asked for.
        placed: result on the twin with the GPU's segments; None if `predicted` agrees, or they are not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    row: dict[str, Value]
    phases: list[dict[str, Any]] = []
    recording: list[dict[str, Any]] = []
    operations: dict[str, list[dict[str, Any]]] | None = None
    predicted: CellResult
    measured: CellResult
    recorded: CellResult | None = None
    placed: CellResult | None = None

    @property
    def cell(self) -> Cell:
        """The cell as it runs on the GPU."""
        return self.measured.cell


@dataclass(frozen=True)
class Trace:
    """Allocation streams of a cell on the GPU.

    Attributes:
        stream: operations by name, of building, the first step and the last.
        plain: allocations of one more step, which was not recorded by name.
    """

    stream: Stream
    plain: Sequence[PlainAllocation]


def judge_verification(
    predicted: CellResult,
    measured: CellResult,
    recorded: CellResult | None = None,
    *,
    placed: CellResult | None = None,
    twin: Stream = (),
    gpu: Trace | None = None,
) -> VerifyRecord:
    """Compare what was predicted with what was measured, and return the record of it.

    Args:
        predicted: result of the cell on the twin.
        measured: result of the cell on the GPU.
        recorded: result of the cell on the GPU while it was recorded.
        placed: result of the cell on the twin, with the segments where that run on the GPU had them.
        twin: the twin's allocation stream.
        gpu: the GPU's allocation streams; None: not recorded, or not to the end.
    """
    phases = _phases(predicted, measured)
    operations = _operations(gpu, twin, measured.cell) if gpu is not None and twin else None
    status, message = _status(predicted, measured, phases)
    if status == "differs" and placed is not None and agrees(placed, measured):
        status = "placed"
    row = {
        **{name: measured.row.get(name) for name in ("cell_id", *SETTINGS)},
        "status": status,
        "predicted_failed_phase": predicted.row.get("failed_phase"),
        "measured_failed_phase": measured.row.get("failed_phase"),
        "message": "; ".join([*message, *_notes(predicted, measured, recorded)]) or None,
        **_metric_columns(predicted, measured),
        "differing_allocations": _differing(operations),
        **(_placed_columns(placed, measured) if placed is not None else {}),
        **_versions(predicted, measured),
    }
    return VerifyRecord(
        row=row,
        phases=[_as_row(residual) for residual in phases],
        recording=[] if recorded is None else _changed(_phases(recorded, measured)),
        operations=operations,
        predicted=predicted,
        measured=measured,
        recorded=recorded,
        placed=placed,
    )


def agrees(predicted: CellResult, measured: CellResult) -> bool:
    """Return whether the counters in which the twin is to be exact are right to the byte."""
    return _status(predicted, measured, _phases(predicted, measured))[0] in AGREES


def _placed_columns(placed: CellResult, measured: CellResult) -> dict[str, Value]:
    columns = _metric_columns(placed, measured)
    return {
        f"placed_residual_{metric}": columns[f"residual_{metric}"]
        for metric in PLACED_METRICS
        if f"residual_{metric}" in columns
    }


def _phases(predicted: CellResult, measured: CellResult) -> list[PhaseResidual]:
    memories = predicted.details.get("memory"), measured.details.get("memory")
    return phase_residuals(*memories) if all(memories) else []  # type: ignore[arg-type]


def _status(
    predicted: CellResult, measured: CellResult, phases: list[PhaseResidual]
) -> tuple[Status, list[str]]:
    sides = {"predicted": predicted.row, "measured": measured.row}
    failed = {name: row for name, row in sides.items() if row["status"] not in ("ok", "oom")}
    if failed:
        return "error", [f"{name}: {row['status']}: {row.get('message', '')}" for name, row in failed.items()]
    out_of_memory = [name for name, row in sides.items() if row["status"] == "oom"]
    messages = [f"{name}: {sides[name].get('message', '')}" for name in out_of_memory]
    if len(out_of_memory) == 2:
        return "oom", messages
    if out_of_memory:
        return ("oom-predicted" if out_of_memory == ["predicted"] else "oom-measured"), messages
    if not phases:
        return "error", ["nothing was compared: a side has no memory by phase"]
    return ("exact" if is_exact(phases) else "differs"), []


def _notes(predicted: CellResult, measured: CellResult, recorded: CellResult | None) -> list[str]:
    """Return what a reader of the row must know beside its status."""
    notes = [*predicted.details.get("notes", []), *measured.details.get("notes", [])]
    if recorded is not None and recorded.row["status"] != "ok" and measured.row["status"] == "ok":
        notes.append(f"not recorded: {recorded.row['status']}: {recorded.row.get('message', '')}")
    return notes


def _metric_columns(predicted: CellResult, measured: CellResult) -> dict[str, Value]:
    memories = predicted.details.get("memory"), measured.details.get("memory")
    if not all(memories):
        return {}
    columns: dict[str, Value] = {}
    for name, pair in metric_residuals(*memories).items():  # type: ignore[arg-type]
        columns |= {
            f"predicted_{name}": pair.predicted,
            f"measured_{name}": pair.measured,
            f"residual_{name}": pair.residual,
        }
    return columns


def _versions(predicted: CellResult, measured: CellResult) -> dict[str, Value]:
    gpu = measured.environment.get("gpu") or {}
    return {
        "predicted_requests": predicted.details.get("requests"),
        "predicted_torch": predicted.environment.get("packages", {}).get("torch"),
        "measured_torch": measured.environment.get("packages", {}).get("torch"),
        "gpu_name": gpu.get("name"),
        "driver": gpu.get("driver"),
    }


def _as_row(residual: PhaseResidual) -> dict[str, Any]:
    pair = residual.bytes
    place = {"phase": residual.phase, "point": residual.point, "counter": residual.counter}
    return place | {"predicted": pair.predicted, "measured": pair.measured, "residual": pair.residual}


def _changed(residuals: list[PhaseResidual]) -> list[dict[str, Any]]:
    """Return where recording changed the counters in which the twin is exact."""
    return [
        {
            "phase": residual.phase,
            "point": residual.point,
            "counter": residual.counter,
            "recorded": residual.bytes.predicted,
            "measured": residual.bytes.measured,
            "changed": residual.bytes.residual,
        }
        for residual in residuals
        if residual.counter in EXACT_COUNTERS and residual.bytes.residual
    ]


UNRECORDED = "unrecorded"


def measured_steps(stream: Stream, cell: Cell) -> range:
    """Return the numbers of the last steps in `stream`, which were measured."""
    last = stream[-1].step
    return range(last + 1 - max(1, len(cell.lengths)), last + 1)


def _operations(gpu: Trace, twin: Stream, cell: Cell) -> dict[str, list[dict[str, Any]]]:
    ours = steps_of(twin, measured_steps(twin, cell))
    unrecorded = unrecorded_differences(gpu.plain, ours)
    recorded = step_differences(steps_of(gpu.stream, measured_steps(gpu.stream, cell)), ours)
    parts: dict[str, Sequence[OperationDifference]] = {
        UNRECORDED: [located.difference for located in unrecorded],
        "step": mark_explained(recorded, unrecorded),
    }
    for name, step in (("build", 0), ("first step", 1)):
        differences = step_differences(steps_of(gpu.stream, [step]), steps_of(twin, [step]))
        parts[name] = [located.difference for located in differences]
    return {name: [_group_row(group) for group in grouped(part)] for name, part in parts.items()}


def _group_row(group: Group) -> dict[str, Any]:
    row: dict[str, Any] = asdict(group.difference)
    del row["module"]
    row |= {"count": group.count, "modules": list(group.modules)}
    return {name: value for name, value in row.items() if value is not None}


def _differing(operations: Mapping[str, list[dict[str, Any]]] | None) -> int | None:
    return None if operations is None else sum(group["count"] for group in operations[UNRECORDED])
