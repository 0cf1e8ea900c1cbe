"""Every measured cell explained, as `lorafa-prof explain` does it.

Of each cell the allocated bytes at the peak and what forward keeps, as measured, and what of both the twin
leaves unexplained; and the reserved bytes as measured and as predicted. Of a cell that ran out of memory
these are the twin's own, and so are left empty.
"""

from __future__ import annotations

from collections.abc import Iterator

from lorafa_prof.explaining.explain_cells import explain_cells
from lorafa_prof.explaining.explanation import Explanation
from lorafa_prof.explaining.folder import subjects_in
from lorafa_prof.report.published.folder import PublishedFolder, by_of
from lorafa_prof.results.files import write_atomically
from lorafa_prof.results.spreadsheet import csv_text
from lorafa_prof.running.pool import available_cores

TABLE_NAME = "explained.csv"
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


def write_explained(folder: PublishedFolder) -> Iterator[str]:
    """Write ``explained.csv`` beside the page, and say how much of what was measured is explained."""
    runs = sorted({(kept.place, kept.run) for kept in folder.rows if kept.by == "measured"})
    subjects = [
        (run, subject)
        for place, run in runs
        for subject in subjects_in(folder.path / place / run)
        if by_of(subject.row) == "measured"
    ]
    if not subjects:
        yield f"{TABLE_NAME}: not written, nothing was measured"
        return
    explanations = explain_cells(
        [subject for _, subject in subjects], available_cores(), lambda *_: None, what_if=False
    )
    rows = [_row(run, explanation) for (run, _), explanation in zip(subjects, explanations, strict=True)]
    write_atomically(folder.path / TABLE_NAME, csv_text([HEADER, *rows]))
    finished = [row for row in rows if row[3] == "ok"]
    whole = sum(row[5] == row[7] == 0 for row in finished)
    yield f"{len(rows)} cells, {len(finished)} of them measured to the end: {whole} explained to the byte"


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
