"""The folder of a verification: one record per cell, the GPU's allocation streams, and the table."""

from __future__ import annotations

import json
import lzma
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.results.files import write_atomically, writing
from lorafa_prof.results.soundness import read_text
from lorafa_prof.results.store import Store
from lorafa_prof.verification.judge import SCHEMA_VERSION, VerifyRecord
from lorafa_prof.verification.soundness import check_record
from lorafa_prof.verification.traces import Traces, traces_of
from lorafa_prof.verification.verify_csv import TABLE_NAME, table_text

Records = dict[str, VerifyRecord]
#: What reading streams raises that were cut off, or say other than this version writes.
_DAMAGES = (lzma.LZMAError, EOFError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class VerifyStore:
    """The files of a verification under `out`.

    They are ``verify.csv``, ``verify/<cell_id>.json``, ``traces/<cell_id>.json.xz``, ``logs/`` and
    provenance.json.
    """

    out: Path

    @property
    def table(self) -> Path:
        """Path of verify.csv."""
        return self.out / TABLE_NAME

    def record_file(self, cell_id: str) -> Path:
        """Return the path of a cell's record."""
        return self.out / "verify" / f"{cell_id}.json"

    def trace_file(self, cell_id: str) -> Path:
        """Return the path of a cell's allocation streams on the GPU."""
        return self.out / "traces" / f"{cell_id}.json.xz"

    def log_file(self, cell_id: str, part: str) -> Path:
        """Return the path of the log of one of a cell's processes."""
        return self.out / "logs" / f"{cell_id}.{part}.log"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            UsageError: they cannot be written.
        """
        with writing(self.out):
            for folder in ("verify", "traces", "logs"):
                (self.out / folder).mkdir(parents=True, exist_ok=True)

    def save(self, record: VerifyRecord) -> None:
        """Write a cell's record."""
        with writing(self.out):
            file = self.record_file(record.cell.cell_id)
            write_atomically(file, record.model_dump_json(indent=1))

    def load_all(self, cell_ids: Sequence[str], *, discard: Collection[str] = ()) -> Records:
        """Return the records of those of `cell_ids` that have one, by id.

        Args:
            cell_ids: ids of the cells to load.
            discard: ids of cells that are verified again, so that their records may be damaged.

        Raises:
            UsageError: there is a record that this version cannot read.
        """
        return {
            cell_id: self._load(cell_id)
            for cell_id in cell_ids
            if cell_id not in discard and self.record_file(cell_id).exists()
        }

    def _load(self, cell_id: str) -> VerifyRecord:
        file = self.record_file(cell_id)
        try:
            record = VerifyRecord.model_validate_json(read_text(file))
            check_record(record)
        except ValueError as error:
            raise _damaged(file) from error
        except OSError as error:
            raise UsageError(f"{file}: this record cannot be read: {error.strerror}") from error
        if record.schema_version != SCHEMA_VERSION or record.cell.cell_id != cell_id:
            raise _damaged(file)
        return record

    def others(self, cell_ids: Collection[str]) -> list[str]:
        """Return the ids of cells that have a record here and are not in `cell_ids`, sorted."""
        return sorted({file.stem for file in (self.out / "verify").glob("*.json")} - set(cell_ids))

    def save_trace(self, cell_id: str, trace: Mapping[str, Any]) -> None:
        """Write a cell's allocation streams on the GPU; none remove those that were kept before."""
        file = self.trace_file(cell_id)
        with writing(self.out):
            if not trace:
                file.unlink(missing_ok=True)
            else:
                text = json.dumps(trace, separators=(",", ":"))
                write_atomically(file, lzma.compress(text.encode()))

    def load_traces(self, cell_id: str) -> Traces:
        """Return a cell's allocation streams on the GPU, of several ranks by rank; none if none were kept."""
        file = self.trace_file(cell_id)
        if not file.exists():
            return {}
        try:
            return traces_of(json.loads(lzma.decompress(file.read_bytes())))
        except OSError as error:
            raise UsageError(f"{file}: this cannot be read: {error.strerror}") from error
        except _DAMAGES as error:
            raise _damaged(file) from error

    def write_table(self, cell_ids: Sequence[str], records: Records) -> None:
        """Write verify.csv from those of `cell_ids` that have a record, in this order."""
        rows = [records[cell_id].row for cell_id in cell_ids if cell_id in records]
        with writing(self.out):
            write_atomically(self.table, table_text(rows))

    def write_provenance(self, provenance: dict[str, Any]) -> None:
        """Write provenance.json."""
        Store(self.out).write_provenance(provenance)


def _damaged(file: Path) -> UsageError:
    return UsageError(
        f"{file}: this is damaged or of another version of lorafa-prof; --rerun all verifies its cell again"
    )
