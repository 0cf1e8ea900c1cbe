"""A verification as a person reads it: a table, and a line that sums it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lorafa_prof.results.record import Value
from lorafa_prof.verification.comparison import sent_otherwise
from lorafa_prof.verification.judge import VerifyRecord
from lorafa_prof.verification.operations import UNRECORDED
from lorafa_prof.verification.residuals import EXACT_COUNTERS, METRICS, RESERVED
from lorafa_prof.verification.verify_csv import AGREES
from lorafa_prof.words.numbers import percent_change, signed
from lorafa_prof.words.phrases import count

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
        share: the residual as a share of what was measured.
        what: phase, point and counter that it is of.
        cell_id: id of the cell that it is of.
    """

    residual: int
    share: float
    what: str
    cell_id: str


def table_rows(records: Sequence[VerifyRecord], labels: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the residuals of each cell, in the columns of `HEADER`.

    They are in bytes, those of reserved memory in percent.
    """
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
    """Return one line: how many cells are exact, and the worst residuals."""
    exact, placed = (
        sum(record.row["status"] == status for record in records) for status in ("exact", "placed")
    )
    parts = [f"{exact} of {len(records)} cells exact in allocated and requested"]
    if placed:
        parts.append(f"{placed} more with the segments where the driver put them")
    oom_on_both = sum(record.row["status"] == "oom" for record in records)
    if oom_on_both:
        parts.append(f"{oom_on_both} out of memory on both sides")
    worst, reserved = worst_exact(records), worst_reserved(records)
    if worst is not None and worst.residual:
        place = f"{worst.what} of {labels[worst.cell_id]}"
        parts.append(
            f"worst residual {signed(worst.residual)} bytes ({percent_change(worst.share, 2)}), {place}"
        )
    elif worst is not None:
        parts.append("worst residual 0 bytes")
    if otherwise := sum(bool(sent_otherwise(record.sent)) for record in records):
        parts.append(f"ranks send other bytes in {count(otherwise, 'cell')}")
    if reserved is not None:
        parts.append(f"reserved: worst {percent_change(reserved.share, 2)}, {labels[reserved.cell_id]}")
    return "; ".join(parts)


def worst_exact(records: Sequence[VerifyRecord]) -> Worst | None:
    """Return the worst residual of the counters in which the twin is to be exact.

    None if nothing was compared.
    """
    residuals = [
        Worst(
            row["residual"],
            _share(row),
            f"{_of_rank(row)}{row['phase']} {row['point']} {row['counter']}",
            record.cell.cell_id,
        )
        for record in records
        for row in record.phases
        if row["counter"] in EXACT_COUNTERS
    ]
    return max(residuals, key=lambda worst: abs(worst.residual), default=None)


def worst_reserved(records: Sequence[VerifyRecord]) -> Worst | None:
    """Return the worst residual of the peak of reserved memory, by its share.

    None if nothing was compared.
    """
    residuals = []
    for record in records:
        sides = {side: record.row.get(f"{side}_{RESERVED}") for side in ("residual", "measured")}
        if isinstance(sides["residual"], int):
            residuals.append(Worst(sides["residual"], _share(sides), RESERVED, record.cell.cell_id))
    return max(residuals, key=lambda worst: abs(worst.share), default=None)


def outcome(record: VerifyRecord) -> str:
    """Return what came of a cell beside its status, in a few words."""
    row = record.row
    worst = worst_exact([record])
    if worst is None:
        phases = (row.get(f"{side}_failed_phase") for side in ("predicted", "measured"))
        where = "/".join(str(phase) for phase in dict.fromkeys(phases) if phase)
        texts = [f"in {where}" if where else "", str(row["message"] or "")]
        return ", ".join(text for text in texts if text)
    residual = f"{worst.what} {signed(worst.residual)} bytes" if worst.residual else "0 bytes"
    if worst.residual and row["differing_allocations"] == 0:
        elsewhere = row.get("residual_peak_requested_bytes") != 0
        why = (
            "from before the step"
            if elsewhere
            else "though every request is the same: other blocks serve them"
        )
        residual += f", {why}"
    sent = sent_otherwise(record.sent)
    return "; ".join([residual, *([sent] if sent else []), *_first_differences(record)])


def exit_code(records: Sequence[VerifyRecord]) -> int:
    """Return 1 if a cell failed, 3 if the twin is wrong about one, and 0 if it is right about all."""
    statuses = {record.row["status"] for record in records}
    if "error" in statuses:
        return 1
    return 3 if statuses - set(AGREES) else 0


def _first_differences(record: VerifyRecord, most: int = 2) -> list[str]:
    groups = (record.operations or {}).get(UNRECORDED, [])
    texts = [describe(group) for group in groups[:most]]
    return [*texts, f"{len(groups) - most} more kinds"] if len(groups) > most else texts


def describe(group: Mapping[str, Any]) -> str:
    """Return a group of differences in a few words."""
    sizes = {
        "gpu only": f"{list(group['gpu_bytes'])} bytes on the GPU only",
        "twin only": f"{list(group['twin_bytes'])} bytes on the twin only",
        "sizes": f"{list(group['gpu_bytes'])} bytes on the GPU, {list(group['twin_bytes'])} on the twin",
        "freed": f"{list(group['twin_bytes'])} bytes freed elsewhere",
    }[group["kind"]]
    return f"{_of_rank(group)}{group['count']} × {group['phase']} {group['operation']}: {sizes}"


def _of_rank(line: Mapping[str, Any]) -> str:
    return "" if line.get("rank") is None else f"rank {line['rank']} "


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
