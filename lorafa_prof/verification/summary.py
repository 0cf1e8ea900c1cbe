"""What of a verification a person reads: a table, and a line that sums it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lorafa_prof.results.record import Value
from lorafa_prof.verification.judge import UNRECORDED, VerifyRecord
from lorafa_prof.verification.residuals import EXACT_COUNTERS, METRICS, RESERVED
from lorafa_prof.verification.verify_csv import AGREES
from lorafa_prof.words.numbers import percent_change, signed

HEADER = (
    "cell",
    "status",
    "held",
    "peak",
    "forward",
    "backward",
    "optimizer",
    "requested",
    "reserved",
    "allocations",
)


class Worst(NamedTuple):
    """The largest residual of some records.

    Attributes:
        residual: predicted less measured, bytes.
        share: of what was measured.
        what: phase, point and counter.
        cell_id: of the cell.
    """

    residual: int
    share: float
    what: str
    cell_id: str


def table_rows(records: Sequence[VerifyRecord], labels: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Residuals in bytes of each cell, for `HEADER`; of what is reserved in percent."""
    return [
        (
            labels[record.cell.cell_id],
            str(record.row["status"]),
            *(_residual(record.row.get(f"residual_{metric}")) for metric in METRICS if metric != RESERVED),
            _percent(record.row, RESERVED),
            _count(record.row["differing_allocations"]),
        )
        for record in records
    ]


def summary(records: Sequence[VerifyRecord], labels: Mapping[str, str]) -> str:
    """One line: how many cells are exact, and the worst residuals."""
    exact, placed = (
        sum(record.row["status"] == status for record in records) for status in ("exact", "placed")
    )
    parts = [f"{exact} of {len(records)} cells exact in allocated and requested"]
    if placed:
        parts.append(f"{placed} more with the segments where the driver put them")
    both = sum(record.row["status"] == "oom" for record in records)
    if both:
        parts.append(f"{both} out of memory on both sides")
    worst, reserved = worst_exact(records), worst_reserved(records)
    if worst is not None and worst.residual:
        what = f"{worst.what} of {labels[worst.cell_id]}"
        parts.append(
            f"worst residual {signed(worst.residual)} bytes ({percent_change(worst.share, 2)}), {what}"
        )
    elif worst is not None:
        parts.append("worst residual 0 bytes")
    if reserved is not None:
        parts.append(f"reserved: worst {percent_change(reserved.share, 2)}, {labels[reserved.cell_id]}")
    return "; ".join(parts)


def worst_exact(records: Sequence[VerifyRecord]) -> Worst | None:
    """Of all counters in which the twin is to be exact; None: nothing was compared."""
    found = [
        Worst(
            row["residual"],
            _share(row),
            f"{row['phase']} {row['point']} {row['counter']}",
            record.cell.cell_id,
        )
        for record in records
        for row in record.phases
        if row["counter"] in EXACT_COUNTERS
    ]
    return max(found, key=lambda worst: abs(worst.residual), default=None)


def worst_reserved(records: Sequence[VerifyRecord]) -> Worst | None:
    """Of the peak of what is reserved, by its share; None: nothing was compared."""
    found = []
    for record in records:
        sides = {side: record.row.get(f"{side}_{RESERVED}") for side in ("residual", "measured")}
        if isinstance(sides["residual"], int):
            found.append(Worst(sides["residual"], _share(sides), RESERVED, record.cell.cell_id))
    return max(found, key=lambda worst: abs(worst.share), default=None)


def outcome(record: VerifyRecord) -> str:
    """What came of a cell beside its status, in a few words."""
    row = record.row
    worst = worst_exact([record])
    if worst is None:
        phases = (row.get(f"{side}_failed_phase") for side in ("predicted", "measured"))
        where = "/".join(str(phase) for phase in dict.fromkeys(phases) if phase)
        told = [f"in {where}" if where else "", str(row["message"] or "")]
        return ", ".join(text for text in told if text)
    residual = f"{worst.what} {signed(worst.residual)} bytes" if worst.residual else "0 bytes"
    if worst.residual and row["differing_allocations"] == 0:
        elsewhere = row.get("residual_peak_requested_bytes") != 0
        why = (
            "from before the step"
            if elsewhere
            else "though every request is the same: other blocks serve them"
        )
        residual += f", {why}"
    return "; ".join([residual, *_first_differences(record)])


def exit_code(records: Sequence[VerifyRecord]) -> int:
    """1: a cell failed; 3: the twin is wrong about one; 0: it is right about all."""
    statuses = {record.row["status"] for record in records}
    if "error" in statuses:
        return 1
    return 3 if statuses - set(AGREES) else 0


def _first_differences(record: VerifyRecord, most: int = 2) -> list[str]:
    groups = (record.operations or {}).get(UNRECORDED, [])
    told = [describe(group) for group in groups[:most]]
    return [*told, f"{len(groups) - most} more kinds"] if len(groups) > most else told


def describe(group: Mapping[str, Any]) -> str:
    """A group of differences in a few words."""
    sizes = {
        "gpu only": f"{list(group['gpu_bytes'])} bytes on the GPU only",
        "twin only": f"{list(group['twin_bytes'])} bytes on the twin only",
        "sizes": f"{list(group['gpu_bytes'])} bytes on the GPU, {list(group['twin_bytes'])} on the twin",
        "freed": f"{list(group['twin_bytes'])} bytes freed elsewhere",
    }[group["kind"]]
    return f"{group['count']} × {group['phase']} {group['operation']}: {sizes}"


def _residual(value: Value) -> str:
    return signed(value) if isinstance(value, int) else "-"


def _percent(row: Mapping[str, Value], metric: str) -> str:
    residual, measured = row.get(f"residual_{metric}"), row.get(f"measured_{metric}")
    if not isinstance(residual, int) or not isinstance(measured, int):
        return "-"
    return percent_change(_share({"residual": residual, "measured": measured}), 2) if residual else "0"


def _share(row: Mapping[str, Any]) -> float:
    if not row["measured"]:
        return float(row["residual"] != 0)
    return float(row["residual"] / row["measured"])


def _count(value: Value) -> str:
    return "-" if value is None else str(value)
