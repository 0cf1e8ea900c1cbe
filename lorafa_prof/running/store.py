"""The folder of a run: one file per cell, written atomically, and the table made of them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lorafa_prof.errors import UsageError
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.table import write_table


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Store:
    """Results under `out`: ``cells/<cell_id>.json``, ``logs/<cell_id>.log``, results.csv, provenance.json."""

    out: Path

    @property
    def results_csv(self) -> Path:
        """The table."""
        return self.out / "results.csv"

    def cell_file(self, cell_id: str) -> Path:
        """Where a cell's record is kept."""
        return self.out / "cells" / f"{cell_id}.json"

    def log_file(self, cell_id: str) -> Path:
        """Where a cell's process writes what it has to say."""
        return self.out / "logs" / f"{cell_id}.log"

    def prepare(self) -> None:
        """Make the folders, and see that they can be written.

        Raises:
            UsageError: they cannot.
        """
        try:
            for folder in ("cells", "logs"):
                (self.out / folder).mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=self.out / folder):
                    pass
        except OSError as error:
            raise UsageError(
                f"cannot write to '{self.out}': {error.strerror}; choose another with -o"
            ) from error

    def save(self, result: CellResult) -> None:
        """Keep a cell's record."""
        write_atomically(self.cell_file(result.cell.cell_id), result.model_dump_json(indent=1))

    def load(self, cell_id: str) -> CellResult | None:
        """A cell's record, or None if it was not measured.

        Raises:
            UsageError: there is a record that this version cannot read.
        """
        file = self.cell_file(cell_id)
        if not file.exists():
            return None
        try:
            return CellResult.model_validate_json(file.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise UsageError(
                f"{file}: this record is damaged or of another version; remove it to measure the cell again"
            ) from error

    def write_table(self, cell_ids: Sequence[str]) -> None:
        """Write results.csv of those of `cell_ids` that were measured, in this order."""
        results = (self.load(cell_id) for cell_id in cell_ids)
        write_table([result.table_row() for result in results if result is not None], self.results_csv)

    def write_provenance(self, provenance: dict[str, Any]) -> None:
        """Write provenance.json."""
        write_atomically(
            self.out / "provenance.json", json.dumps(provenance, indent=1, sort_keys=True) + "\n"
        )
