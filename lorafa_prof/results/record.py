"""The full record of one cell, as kept in OUT/cells/<cell_id>.json."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lorafa_prof.cell import Cell
from lorafa_prof.results.columns import COLUMN_NAMES
from lorafa_prof.results.marks import marks_in, written

SCHEMA_VERSION = 1

Value = str | int | float | None

#: Statuses of a cell without a measurement; running out of memory is one.
FAILED = ("error", "timeout", "skipped")


class CellResult(BaseModel):
    """What measuring one cell yielded: its row of the table and everything behind that row.

    `row` has values for a subset of `columns.COLUMN_NAMES`; an absent one is unknown and stays empty.
    `details` holds what does not fit a row: phases, saved tensors, FLOPs per module, time samples.
    `environment` is the machine and versions that it was measured with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    cell: Cell
    row: dict[str, Value]
    details: dict[str, Any] = {}
    environment: dict[str, Any] = {}

    def table_row(self) -> dict[str, Value]:
        """Return the row with every column of the contract, in its order; unknown values are None.

        The names of its marks, which are kept in `details` with their reasons, are among them.
        """
        row = {"marks": written(marks_in(self.details)), **self.row}
        return {name: row.get(name) for name in COLUMN_NAMES}
