"""Explain every cell that a GPU measured, as `lorafa-prof explain` does, and write explained.csv.

    python reports/paper/explained.py

Of each cell the allocated bytes at the peak and what forward keeps, as measured, and what of both the twin
leaves unexplained; and the reserved bytes as measured and as predicted. Of a cell that ran out of memory
these are the twin's own, and so are left empty. Needs no GPU; a minute.
"""

from __future__ import annotations

import csv
from pathlib import Path

from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.folder import subjects_in
from lorafa_prof.running.pool import available_cores

HERE = Path(__file__).resolve().parent
HEADER = (
    "run",
    "cell_id",
    "label",
    "status",
    "peak_allocated_bytes",
    "unexplained_of_peak_bytes",
    "activation_bytes",
    "unexplained_of_activation_bytes",
    "peak_reserved_bytes",
    "predicted_peak_reserved_bytes",
)


def main() -> None:
    """Write the table; say how much of it is explained."""
    runs = sorted(file.parent for file in HERE.glob("h[12]00/*/results.csv"))
    subjects = [(run.name, subject) for run in runs for subject in subjects_in(run)]
    asked = [subject for _, subject in subjects]
    found = explain_cells(asked, available_cores(), lambda *told: None, what_if=False)
    rows = [_row(run, explanation) for (run, _), explanation in zip(subjects, found, strict=True)]
    with (HERE / "explained.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    measured = [row for row in rows if row[3] == "ok"]
    whole = sum(row[5] == row[7] == 0 for row in measured)
    print(f"{len(rows)} cells, {len(measured)} of them measured to the end: {whole} explained to the byte")


def _row(run: str, explanation: Explanation) -> tuple[str | int | None, ...]:
    subject, peak, held = explanation.subject, explanation.peak, explanation.activation
    status = str(subject.row["status"])
    known = (run, subject.cell_id, subject.label, status)
    if status != "ok" or peak is None or held is None or explanation.predicted is None:
        return (*known, *[None] * (len(HEADER) - len(known)))
    return (
        *known,
        peak.total_bytes,
        peak.unexplained_bytes,
        held.total_bytes,
        held.unexplained_bytes,
        explanation.reserved_bytes,
        explanation.predicted.peak_reserved_bytes,
    )


if __name__ == "__main__":
    main()
