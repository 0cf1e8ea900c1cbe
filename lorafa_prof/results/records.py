"""Reading a folder of results: the table, the record behind each row, the twin's verification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lorafa_prof.errors import NothingToJudgeError, UsageError, first_line
from lorafa_prof.one_line import all_texts, harmless
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.files import LEARNING_NAME
from lorafa_prof.results.record import CellResult
from lorafa_prof.results.spreadsheet import from_text
from lorafa_prof.results.store import Store
from lorafa_prof.results.table import KnownTable, pandas_dtype, read_known_table, read_table

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

LoadRecord = Callable[[str], CellResult | None]
"""A cell's record by its id, or None if there is none; raises `UsageError` if it cannot be read."""

VERIFICATION_NAME = "verify.csv"


def _no_record(cell_id: str) -> None:
    del cell_id


@dataclass(frozen=True)
class Results:
    """The results of a folder, from which figures and reports are made: what is text in them is `harmless`.

    Args:
        table: what `read_table` returned; may have no rows.
        load: returns the record of a cell. One may take megabytes, so load only those that are needed.
        verification: a row per cell of verify.csv, if there is one.
        out: the folder that they were read from; None where they come from no folder.
    """

    table: pd.DataFrame
    load: LoadRecord = _no_record
    verification: pd.DataFrame | None = None
    out: Path | None = None

    @property
    def has_learning(self) -> bool:
        """Whether there is a table of learning runs beside them."""
        return self.out is not None and (self.out / LEARNING_NAME).is_file()

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _harmless_table(self.table))
        object.__setattr__(self, "load", partial(_harmless_record, self.load))
        if self.verification is not None:
            object.__setattr__(self, "verification", _harmless_table(self.verification))

    def details(self, cell_id: str) -> Mapping[str, Any]:
        """Return what a cell's record holds beside its row; empty if there is no record.

        Raises:
            UsageError: the record cannot be read.
        """
        record = self.load(cell_id)
        return record.details if record else {}

    def read(self, cell_id: str, reader: Callable[[Mapping[str, Any]], T]) -> T:
        """Return what `reader` makes of a cell's `details`.

        Raises:
            UsageError: the record cannot be read, or holds other than the reader expects.
        """
        details = self.details(cell_id)
        try:
            return reader(details)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {first_line(error)}"
            raise UsageError(f"{cell_id}.json holds other than this version writes ({problem})") from error


def _harmless_table(table: pd.DataFrame) -> pd.DataFrame:
    texts = table.select_dtypes(include=["object", "string"]).columns
    change = partial(all_texts, change=harmless)
    changed = {name: table[name].map(change, na_action="ignore") for name in texts}
    return table.assign(**{name: column.astype(table[name].dtype) for name, column in changed.items()})


def _harmless_record(load: LoadRecord, cell_id: str) -> CellResult | None:
    record = load(cell_id)
    if record is None:
        return None
    parts = {name: all_texts(part, harmless) for name, part in vars(record).items() if name != "cell"}
    return record.model_copy(update=parts)


@dataclass(frozen=True)
class KnownResults:
    """The results of a folder that this version understands, and notes on what it left out of the table."""

    results: Results
    notes: tuple[str, ...] = ()


def read_results(out: Path) -> Results:
    """Return the results in the folder `out`; if only `verify` or `learn` wrote it, the table has no rows.

    Raises:
        UsageError: no such folder, or a file that is not what its name says.
        NothingToJudgeError: the folder holds no results yet.
    """
    return _read_results(out, lambda: KnownTable(read_table(out))).results


def read_known_results(out: Path) -> KnownResults:
    """Return the results in the folder `out` that this version understands.

    What another version of lorafa-prof added to the table is left out, with a note.

    Raises:
        UsageError: no such folder, or a table of which nothing can be read.
        NothingToJudgeError: there are no results yet.
    """
    return _read_results(out, lambda: read_known_table(out))


def _read_results(out: Path, read: Callable[[], KnownTable]) -> KnownResults:
    load = Store(out).load
    verification = _read_verification(out / VERIFICATION_NAME)
    try:
        known = read()
    except NothingToJudgeError:
        if verification is None and not (out / LEARNING_NAME).is_file():
            raise
        known = KnownTable(_no_rows())
    return KnownResults(Results(known.table, load, verification, out), known.notes)


def _no_rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({column.name: pd.Series(dtype=pandas_dtype(column)) for column in COLUMNS})


def _read_verification(path: Path) -> pd.DataFrame | None:
    import pandas as pd

    if not path.is_file():
        return None
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # of pandas too: its parser's errors are ValueErrors
        raise UsageError(f"{path}: cannot be read as the table of `lorafa-prof verify`: {error}") from error
    if "cell_id" not in table.columns or "status" not in table.columns:
        raise UsageError(f"{path}: not the table of `lorafa-prof verify`: no column 'cell_id' or 'status'")
    texts = table.select_dtypes(include=["object", "string"]).columns
    return table.assign(**{name: table[name].map(from_text, na_action="ignore") for name in texts})
