"""The folder of a run: one file per cell, written atomically, and the table made of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.results.files import write_atomically, writing
from lorafa_prof.results.marks import marks_in
from lorafa_prof.results.record import SCHEMA_VERSION, CellResult
from lorafa_prof.results.soundness import check_result, read_text
from lorafa_prof.results.table import write_table

CellResults = dict[str, CellResult]


class DamagedRecordError(UsageError):
    """A cell's record that this version cannot read."""

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file}: this record is damaged or of another version of lorafa-prof; "
            "--rerun failed measures its cell again, and --rerun all every cell"
        )


@dataclass(frozen=True)
class Store:
    """Results under `out`: ``cells/<cell_id>.json``, ``logs/<cell_id>.log``, results.csv, provenance.json.

    Usage::

        store = Store(Path("out/mine"))
        store.prepare()
        store.save(result)
        store.write_table([result.cell.cell_id], {result.cell.cell_id: result})

    Known limits:

    - A file is written whole or not at all; that no two runs write into one folder is `lock.locked`'s.
    - A record is found by its cell's id. What the id does not have, such as a local config.json's content,
      is in the record's fingerprint (results/fingerprint.py): whoever reuses a record looks there.
    - The table is written anew each time, from the records of the cells named; others stay in ``cells/``.
    """

    out: Path

    @property
    def results_csv(self) -> Path:
        """Path of the results table."""
        return self.out / "results.csv"

    def cell_file(self, cell_id: str) -> Path:
        """Return the path of a cell's record."""
        return self.out / "cells" / f"{cell_id}.json"

    def log_file(self, cell_id: str) -> Path:
        """Return the path of the log of a cell's process."""
        return self.out / "logs" / f"{cell_id}.log"

    def prepare(self) -> None:
        """Make the folders, and check that they can be written.

        Raises:
            UsageError: they cannot be written.
        """
        with writing(self.out):
            for folder in (self.out / "cells", self.out / "logs", self.out):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass

    def save(self, result: CellResult) -> None:
        """Write a cell's record."""
        with writing(self.out):
            write_atomically(self.cell_file(result.cell.cell_id), result.model_dump_json(indent=1))

    def load(self, cell_id: str) -> CellResult | None:
        """Return a cell's record, or None if the cell was not measured.

        Raises:
            DamagedRecordError: there is a record that this version does not understand.
            UsageError: the record cannot be read.
        """
        file = self.cell_file(cell_id)
        try:
            result = CellResult.model_validate_json(read_text(file))
            check_result(result)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, IsADirectoryError) as error:
            raise DamagedRecordError(file) from error
        except OSError as error:
            raise UsageError(f"{file}: this record cannot be read: {error.strerror}") from error
        if result.schema_version != SCHEMA_VERSION or result.cell.cell_id != cell_id:
            raise DamagedRecordError(file)
        return result

    def load_all(self, cell_ids: Sequence[str], *, discard: Collection[str] = ()) -> CellResults:
        """Return the results of those of `cell_ids` that were measured, by id, without their details.

        Args:
            cell_ids: ids of the cells to load.
            discard: ids of cells that are measured again, whose damaged records therefore count as none.

        Raises:
            DamagedRecordError: there is a record that this version cannot read.
        """
        results: CellResults = {}
        for cell_id in cell_ids:
            try:
                result = self.load(cell_id)
            except DamagedRecordError:
                if cell_id not in discard:
                    raise
                result = None
            if result is not None:
                results[cell_id] = without_details(result)
        return results

    def others(self, cell_ids: Collection[str]) -> list[str]:
        """Return the ids of cells that have a record here and are not in `cell_ids`, sorted."""
        return sorted({file.stem for file in (self.out / "cells").glob("*.json")} - set(cell_ids))

    def write_table(self, cell_ids: Sequence[str], results: CellResults) -> None:
        """Write results.csv from those of `cell_ids` that have a result, in this order."""
        rows = [results[cell_id].table_row() for cell_id in cell_ids if cell_id in results]
        with writing(self.out):
            write_table(rows, self.results_csv)

    def write_provenance(self, provenance: dict[str, Any]) -> None:
        """Write provenance.json."""
        text = json.dumps(provenance, indent=1, sort_keys=True) + "\n"
        with writing(self.out):
            write_atomically(self.out / "provenance.json", text)


def without_details(result: CellResult) -> CellResult:
    """Return the result without its details, which may take megabytes for each cell of a large model.

    Its marks stay, since they say what its row is worth.
    """
    marks = marks_in(result.details)
    return result.model_copy(update={"details": {"marks": marks} if marks else {}})
