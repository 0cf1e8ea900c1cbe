"""The table of a run's cells, as a terminal and Markdown show it: what differs between them, and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lorafa_prof.cell import Cell
from lorafa_prof.figures.kit.points import SETTINGS, Point, differing
from lorafa_prof.results.columns import COLUMNS, Column
from lorafa_prof.scenario.labels import told_apart
from lorafa_prof.words.numbers import shown

Row = Mapping[str, str | int | float]
"""What is known of a cell, by column."""

SHOWN_METRICS = (
    "activation_bytes",
    "peak_allocated_bytes",
    "peak_reserved_bytes",
    "step_ms_median",
    "tokens_per_s",
    "fidelity_distance",
)

OTHER_SETTINGS = Column(
    "settings", "setting", "", "settings without a column that tell the cell from others alike in all columns"
)

#: What people call a column, where that is not its name without the unit.
_NAMES = {
    "activation_bytes": "held",
    "peak_allocated_bytes": "peak",
    "peak_reserved_bytes": "reserved",
    "step_ms_median": "step",
    "tokens_per_s": "tokens/s",
    "samples_per_s": "samples/s",
    "energy_j_per_token": "energy",
}

#: Of values; tokens/s stand in the name of their column.
_UNITS = {column.name: column.unit if column.unit in ("bytes", "ms") else "" for column in COLUMNS}


def column_name(name: str) -> str:
    """What people call a column of the results."""
    plain = name.removesuffix("_bytes").removesuffix("_ms").replace("_", " ")
    return _NAMES.get(name, plain)


def telling_columns(
    rows: Mapping[str, Row], points: Sequence[Point], cells: Iterable[Cell]
) -> tuple[list[str], dict[str, Row]]:
    """Columns for the method and what differs between cells; and the rows, which may get one more.

    Args:
        rows: by the cell's id.
        points: the same.
        cells: those that are known, with the settings that no column has.
    """
    several = len({point.model for point in points}) > 1
    names = differing(points, SETTINGS)
    columns = [
        *(["model"] if several else []),
        "method",
        *(name for name in names if name != "where"),
        *(["device", "gpu"] if "where" in names else []),
    ]
    apart = told_apart(list(cells), lambda cell: tuple(rows[cell.cell_id].get(name) for name in columns))
    others = {cell_id: {OTHER_SETTINGS.name: settings} for cell_id, settings in apart.items() if settings}
    return (
        [*columns, OTHER_SETTINGS.name] if others else columns,
        {cell_id: {**row, **others.get(cell_id, {})} for cell_id, row in rows.items()},
    )


def cells_table(rows: Sequence[Row], settings: Sequence[str]) -> list[list[str]]:
    """The header and a line for each row, what is not known empty; metrics that no row has are left out."""
    known = {name for row in rows for name in row}
    metrics = [name for name in SHOWN_METRICS if name in known]
    marks = ["marks"] if "marks" in known else []
    header = [*settings, "status", *marks, *metrics]
    return [[column_name(name) for name in header], *([_text(row, name) for name in header] for row in rows)]


def _text(row: Row, name: str) -> str:
    value = row.get(name, "")
    if name == "status" and row.get("failed_phase"):
        return f"{value} in {row['failed_phase']}"
    return shown(value, _UNITS[name]) if name in SHOWN_METRICS and not isinstance(value, str) else str(value)
