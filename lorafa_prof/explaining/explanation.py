"""The explanation of a cell: what was measured or predicted, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lorafa_prof.cell import Cell, twin_gpu
from lorafa_prof.devices.gpus.gpu import GPUS
from lorafa_prof.explaining.composition import Composition
from lorafa_prof.explaining.from_record import recorded_activation, recorded_peak
from lorafa_prof.explaining.predicted_step import PredictedStep
from lorafa_prof.explaining.subject import Subject
from lorafa_prof.explaining.trial import Trial
from lorafa_prof.results.provenance import own_source_state, package_version

#: Why no twin tells of what `lorafa_prof.profile` found.
NO_CELL = "it is code of your own, not a cell that can be built again"
#: Packages that decide what a step allocates.
_TELLING = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Explanation:
    """What makes up the memory of a cell's step; what is not known is None.

    Attributes:
        subject: whose.
        source: who says so, in a line.
        peak: at the peak of a steady step. Of a cell that was run, the total is that of its row.
        activation: what forward leaves for backward, in the same way.
        reserved_bytes: what the allocator took of the device at most, in the same way.
        context_bytes: in use on the device outside of the allocator.
        predicted: by the twin.
        trials: of changes that may make it smaller.
        remarks: what a reader must know.
    """

    subject: Subject
    source: str
    peak: Composition | None = None
    activation: Composition | None = None
    reserved_bytes: int | None = None
    context_bytes: int | None = None
    predicted: PredictedStep | None = None
    trials: tuple[Trial, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def step_name(self) -> str:
        """What was run, in words."""
        cell = self.subject.cell
        return "an evaluation" if cell is not None and cell.is_evaluation else "a training step"


def by_twin(subject: Subject, predicted: PredictedStep) -> Explanation:
    """The explanation by the twin; set against what was measured, where that was."""
    row, cell = subject.row, subject.cell
    assert cell is not None
    source = f"predicted on the twin of {cell.gpu}"
    if cell.device == "cuda":
        source = f"measured on {cell.gpu}; what it is made of is told by the twin of that GPU"
    return Explanation(
        subject=subject,
        source=source,
        peak=_set_against(predicted.peak, row.get("peak_allocated_bytes")),
        activation=predicted.activation and _set_against(predicted.activation, row.get("activation_bytes")),
        reserved_bytes=row.get("peak_reserved_bytes") or predicted.peak_reserved_bytes,
        context_bytes=_context_bytes(subject),
        predicted=predicted,
        remarks=(*subject.remarks, *_disagreement(subject, predicted), *predicted.notes),
    )


def by_record(subject: Subject, why_no_twin: str) -> Explanation:
    """The explanation by nothing but what is kept of the cell."""
    row = subject.row
    where = (
        _where(subject.cell) if subject.cell else " ".join(str(row[k]) for k in ("device", "gpu") if k in row)
    )
    how = "predicted on" if twin_gpu(where) else "measured on"
    return Explanation(
        subject=subject,
        source=f"{how} {where or 'an unknown device'}, told by what is kept of it: {why_no_twin}",
        peak=recorded_peak(row, subject.details),
        activation=recorded_activation(row, subject.details),
        reserved_bytes=row.get("peak_reserved_bytes"),
        context_bytes=_context_bytes(subject),
        remarks=(*subject.remarks, *_not_seen(row)),
    )


def _not_seen(row: Mapping[str, Any]) -> list[str]:
    """What is in the unexplained part of a peak that nobody looked into."""
    if row.get("peak_allocated_bytes") is None:
        return []
    known = [
        f"{words} ({row[name]:,} B)"
        for name, words in (("gradients_bytes", "gradients"), ("activation_bytes", "what forward keeps"))
        if row.get(name)
    ]
    at_most = f": of {' and '.join(known)} as much as lives then" if known else ""
    workspaces = " and workspaces" if row.get("peak_reserved_bytes") is not None else ""
    return [f"the unexplained part of the peak is what comes and goes in the step{workspaces}{at_most}"]


def _where(cell: Cell) -> str:
    return cell.device if cell.gpu is None or cell.device != "cuda" else f"{cell.device} ({cell.gpu})"


def _set_against(composition: Composition, measured_bytes: int | None) -> Composition:
    return composition if measured_bytes is None else replace(composition, total_bytes=measured_bytes)


def _context_bytes(subject: Subject) -> int | None:
    """Measured of the process, or of the device where that is not known; else what it is on such a GPU."""
    row, memory = subject.row, subject.details.get("memory") or {}
    used = memory.get("process_used_bytes") or row.get("device_used_bytes")
    if used and row.get("peak_reserved_bytes"):
        return int(used - row["peak_reserved_bytes"])
    gpu = (subject.cell.gpu if subject.cell else subject.row.get("gpu")) or ""
    return GPUS[gpu].context_bytes if gpu in GPUS else None


def _disagreement(subject: Subject, predicted: PredictedStep) -> list[str]:
    """Where the twin says something else than the measurement, what may be behind that."""
    row = subject.row
    status = row.get("status")
    if status == "oom" and predicted.ran_out is None:
        return ["it ran out of memory, where the twin says that it fits"]
    if status == "ok" and predicted.ran_out is not None:
        return ["it did not run out of memory, where the twin says that it does"]
    peak = row.get("peak_allocated_bytes")
    if peak is None or peak == predicted.peak.total_bytes:
        return []
    told = []
    if others := _other_versions(subject.environment):
        told.append(f"it ran with {', '.join(others)}: what is unexplained may come from that")
    if subject.cell is not None and subject.cell.device == "cuda":
        told.append(
            "some MiB may be unexplained where two runs of the cell differ as much: how much a block is "
            "larger than what was asked for depends on its address"
        )
    return told


def _other_versions(then: Mapping[str, Any]) -> list[str]:
    """Versions behind a result that are not those of here."""
    packages = then.get("packages") or {}
    versions = {name: (packages.get(name), package_version(name)) for name in _TELLING}
    was, now = ((each.get("commit") or "")[:8] for each in (then.get("source") or {}, own_source_state()))
    versions["lorafa-prof"] = (was, now)
    return [
        f"{name} {was} (here {now})" for name, (was, now) in versions.items() if was and now and was != now
    ]
