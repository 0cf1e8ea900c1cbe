"""Comparing what predicting and measuring a cell gave: the record of its verification and its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from lorafa_prof.cell import Cell
from lorafa_prof.results.record import CellResult, Value
from lorafa_prof.verification.comparison import Comparison, WorstRank, compared, of_ranks, sent_otherwise
from lorafa_prof.verification.operations import Streams, differing_allocations, differing_operations
from lorafa_prof.verification.residuals import EXACT_COUNTERS, PhaseResidual, Residual, SentResidual
from lorafa_prof.verification.verify_csv import AGREES, PLACED_METRICS, SETTINGS, Status

SCHEMA_VERSION = 1
#: Bytes of the recorded run, of the measured one, and the first less the second.
CHANGE = ("recorded", "measured", "changed")


class VerifyRecord(BaseModel):
    """The verification of a cell, as kept in OUT/verify/<cell_id>.json.

    Attributes:
        row: its row of verify.csv.
        phases: predicted, measured and residual bytes by phase, point and counter; of a cell on several ranks
            of one after the other, as ``rank`` says.
        sent: of ranks, predicted, measured and residual bytes that each sends, by phase and collective.
        recording: the same as `phases` for the recorded GPU run (as predicted) and the measured one, where
            recording itself changed the bytes.
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
    sent: list[dict[str, Any]] = []
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


def judge_verification(
    predicted: CellResult,
    measured: CellResult,
    recorded: CellResult | None = None,
    *,
    placed: CellResult | None = None,
    streams: Sequence[Streams] = (),
) -> VerifyRecord:
    """Compare what was predicted with what was measured, and return the record of it.

    Args:
        predicted: result of the cell on the twin.
        measured: result of the cell on the GPU.
        recorded: result of the cell on the GPU while it was recorded.
        placed: result of the cell on the twin, with the segments where that run on the GPU had them.
        streams: allocation streams of both sides, of each rank; none: not recorded, or not to the end.
    """
    comparison = compared(predicted, measured)
    operations = differing_operations(streams, measured.cell) if streams else None
    sent = [_sent_row(residual) for residual in comparison.sent]
    status, message = _status(predicted, measured, comparison)
    if status == "differs" and placed is not None and agrees(placed, measured):
        status = "placed"
    notes = _notes(predicted, measured, recorded)
    row = {
        **{name: measured.row.get(name) for name in ("cell_id", *SETTINGS)},
        "status": status,
        "predicted_failed_phase": predicted.row.get("failed_phase"),
        "measured_failed_phase": measured.row.get("failed_phase"),
        "message": "; ".join(filter(None, [*message, sent_otherwise(sent), *notes])) or None,
        **_metric_columns(comparison.metrics),
        "differing_allocations": None if operations is None else differing_allocations(operations),
        **(_placed_columns(placed, measured) if placed is not None else {}),
        **_versions(predicted, measured),
    }
    return VerifyRecord(
        row=row,
        phases=[_as_row(residual) for residual in comparison.phases],
        sent=sent,
        recording=[] if recorded is None else _changed(compared(recorded, measured).phases),
        operations=operations,
        predicted=predicted,
        measured=measured,
        recorded=recorded,
        placed=placed,
    )


def agrees(predicted: CellResult, measured: CellResult) -> bool:
    """Return whether the counters in which the twin is to be exact are right to the byte."""
    return _status(predicted, measured, compared(predicted, measured))[0] in AGREES


def _placed_columns(placed: CellResult, measured: CellResult) -> dict[str, Value]:
    worst = compared(placed, measured).metrics
    return {
        f"placed_residual_{metric}": worst[metric].residual.residual
        for metric in PLACED_METRICS
        if metric in worst
    }


def _status(predicted: CellResult, measured: CellResult, comparison: Comparison) -> tuple[Status, list[str]]:
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
    if not comparison.phases:
        return "error", ["nothing was compared: a side has no memory by phase"]
    return ("exact" if comparison.is_exact else "differs"), []


def _notes(predicted: CellResult, measured: CellResult, recorded: CellResult | None) -> list[str]:
    """Return what a reader of the row must know beside its status."""
    notes = [*predicted.details.get("notes", []), *measured.details.get("notes", [])]
    if recorded is not None and recorded.row["status"] != "ok" and measured.row["status"] == "ok":
        notes.append(f"not recorded: {recorded.row['status']}: {recorded.row.get('message', '')}")
    return notes


def _metric_columns(metrics: Mapping[str, WorstRank]) -> dict[str, Value]:
    columns: dict[str, Value] = {}
    for name, (pair, rank) in metrics.items():
        columns |= {
            f"predicted_{name}": pair.predicted,
            f"measured_{name}": pair.measured,
            f"residual_{name}": pair.residual,
        }
        if rank is not None:
            columns[f"rank_{name}"] = rank
    return columns


def _versions(predicted: CellResult, measured: CellResult) -> dict[str, Value]:
    gpu = measured.environment.get("gpu") or {}
    return {
        "predicted_requests": _requests(predicted),
        "predicted_torch": predicted.environment.get("packages", {}).get("torch"),
        "measured_torch": measured.environment.get("packages", {}).get("torch"),
        "gpu_name": gpu.get("name"),
        "driver": gpu.get("driver"),
    }


def _requests(predicted: CellResult) -> str | None:
    """The digest of all requests of the predicted step; of several kinds of ranks that of each."""
    digests = [each["requests"] for each in of_ranks(predicted).values() if "requests" in each]
    return " ".join(digests) or None


def _as_row(residual: PhaseResidual) -> dict[str, Any]:
    return _place(residual) | _bytes(residual.bytes)


def _sent_row(residual: SentResidual) -> dict[str, Any]:
    calls = {"predicted_calls": residual.calls.predicted, "measured_calls": residual.calls.measured}
    place = {"rank": residual.rank, "phase": residual.phase, "collective": residual.collective}
    return place | calls | _bytes(residual.sent_bytes)


def _bytes(pair: Residual) -> dict[str, int]:
    return {"predicted": pair.predicted, "measured": pair.measured, "residual": pair.residual}


def _place(residual: PhaseResidual) -> dict[str, Any]:
    rank = {} if residual.rank is None else {"rank": residual.rank}
    return rank | {"phase": residual.phase, "point": residual.point, "counter": residual.counter}


def _changed(residuals: list[PhaseResidual]) -> list[dict[str, Any]]:
    """Return where recording changed the counters in which the twin is exact."""
    return [
        _place(residual) | dict(zip(CHANGE, (*residual.bytes, residual.bytes.residual), strict=True))
        for residual in residuals
        if residual.counter in EXACT_COUNTERS and residual.bytes.residual
    ]
