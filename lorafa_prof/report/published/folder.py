"""A folder of published numbers: a page, the scenarios that claim them, and the results of several runs.

Results lie in ``<place>/<run>/results.csv``. A place is a GPU, or the twin; which of the two, each row tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lorafa_prof.cell import twin_gpu
from lorafa_prof.claims.gate import Gate, gate_of
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.report.published.marks import scenarios_named
from lorafa_prof.results.columns import COLUMNS
from lorafa_prof.results.record import Value
from lorafa_prof.results.table import TABLE_NAME, read_table
from lorafa_prof.scenario.load import load_scenario
from lorafa_prof.scenario.shipped import find_scenario

By = Literal["measured", "predicted"]
BOTH: tuple[By, ...] = get_args(By)

PAGE_NAME = "README.md"

_KEY = [column.name for column in COLUMNS if column.group == "setting" and column.name != "device"]

Settings = tuple[Value, ...]


@dataclass(frozen=True)
class KeptRow:
    """A row of one of the folder's tables, and where that is."""

    place: str
    run: str
    row: Mapping[str, Value]

    @property
    def by(self) -> By:
        """Whether it was measured, or predicted by the twin."""
        return by_of(self.row)


@dataclass(frozen=True)
class PublishedFolder:
    """A folder and the rows of all its tables."""

    path: Path
    rows: tuple[KeptRow, ...]

    @property
    def page(self) -> Path:
        """The page, which names the scenarios and has room for their tables."""
        return self.path / PAGE_NAME

    def page_text(self) -> str:
        """What the page says now.

        Raises:
            UsageError: there is none that can be read.
        """
        try:
            return self.page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.page}: cannot be read as a page: {error}") from error

    def scenarios(self) -> list[str]:
        """The scenarios that the page has a table for, in its order.

        Raises:
            NothingToJudgeError: it has none.
        """
        names = scenarios_named(self.page_text())
        if not names:
            mark = "<!-- settings: SCENARIO -->"
            raise NothingToJudgeError(f"{self.page}: it has no mark '{mark}' (docs/published.md says how)")
        return names

    def gate(self, name: str) -> Gate:
        """A scenario's claims, ready to be judged.

        The scenario is ``name.yaml`` beside the page, else the shipped one ``<folder's name>/name``.

        Raises:
            ScenarioError: there is neither, or it is not valid.
            NothingToJudgeError: it makes no claims.
        """
        beside = self.path / f"{name}.yaml"
        file = beside if beside.is_file() else find_scenario(f"{self.path.resolve().name}/{name}")
        return gate_of(load_scenario(file), None)

    def places(self, by: By) -> list[str]:
        """The places that have measured rows, or predicted ones, sorted by name."""
        return sorted({kept.place for kept in self.rows if kept.by == by})

    def by_settings(self, by: By, name: str) -> dict[Settings, KeptRow]:
        """All rows that were measured, or predicted: of those with equal settings that of the run `name`."""
        chosen = [kept for kept in self.rows if kept.by == by]
        chosen.sort(key=lambda kept: kept.run == name)
        return {key_of(kept.row): kept for kept in chosen}


def read_folder(path: Path) -> PublishedFolder:
    """The folder with all of its tables.

    Raises:
        UsageError: one of them cannot be read as a table of results.
        NothingToJudgeError: there are none, or one has no rows.
    """
    files = sorted(path.glob(f"*/*/{TABLE_NAME}"))
    if not files:
        raise NothingToJudgeError(f"{path}: no GPU/RUN/{TABLE_NAME} in it (docs/published.md)")
    rows = [
        KeptRow(file.parent.parent.name, file.parent.name, row)
        for file in files
        for row in _rows(file.parent)
    ]
    return PublishedFolder(path, tuple(rows))


def key_of(row: Mapping[str, Value]) -> Settings:
    """Everything that a cell is set to, its GPU included, be it measured or predicted."""
    return tuple(row[name] for name in _KEY)


def by_of(row: Mapping[str, Value]) -> By:
    """Whether a row was measured, or predicted by the twin."""
    return "measured" if twin_gpu(str(row["device"])) is None else "predicted"


def _rows(run: Path) -> list[dict[str, Value]]:
    import pandas as pd

    records = read_table(run).astype(object).to_dict("records")
    return [
        {str(name): None if value is pd.NA else value for name, value in record.items()} for record in records
    ]
