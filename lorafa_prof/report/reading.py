"""What of a folder of results can be read, and what must be said of the rest."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorafa_prof.claims.finding import Judgement
from lorafa_prof.errors import LorafaProfError, NothingToJudgeError, UsageError
from lorafa_prof.results.columns import COLUMN_NAMES
from lorafa_prof.results.record import SCHEMA_VERSION
from lorafa_prof.results.records import Results, read_results
from lorafa_prof.results.table import TABLE_NAME
from lorafa_prof.running.store import Store


@dataclass(frozen=True)
class Source:
    """A folder of results as far as it can be read.

    Attributes:
        results: the table and the records behind it.
        provenance: of provenance.json; empty where there is none that can be read.
        judgement: of the scenario's claims; None where it makes none or they cannot be judged.
        notes: what a reader must know: what is missing, damaged or of another version.
    """

    out: Path
    results: Results
    provenance: Mapping[str, Any]
    judgement: Judgement | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ReadTable:
    """The results of a folder, and what must be said of its table."""

    results: Results
    notes: tuple[str, ...] = ()


def read_known_results(out: Path) -> ReadTable:
    """As `read_results`, but what another version of lorafa-prof added to the table is left out, with a note.

    Raises:
        UsageError: no such folder, or a table of which nothing can be read.
        NothingToJudgeError: there are no results yet.
    """
    load = Store(out).load
    try:
        return ReadTable(read_results(out, load))
    except UsageError as error:
        lines = _lines_of(out / TABLE_NAME)
        notes = _foreign(lines)
        if not notes:
            raise
        with TemporaryDirectory() as folder:
            _write(_known(lines), Path(folder) / TABLE_NAME)
            try:
                return ReadTable(read_results(Path(folder), load), notes)
            except (UsageError, NothingToJudgeError):
                raise error from None  # it names the user's file, not the copy


def read_source(out: Path, table: ReadTable) -> Source:
    """All that there is beside the table."""
    provenance, provenance_notes = _read_provenance(out)
    judgement, claim_notes = _judge(out, provenance)
    notes = (*table.notes, *provenance_notes, *claim_notes)
    return Source(out, table.results, provenance, judgement, notes)


def _lines_of(table: Path) -> list[list[str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return [values for values in csv.reader(file) if values]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _foreign(lines: list[list[str]]) -> tuple[str, ...]:
    """What of a table this version cannot read, though it can read the rest."""
    if not lines:
        return ()
    header, *rows = lines
    unknown = [name for name in header if name not in COLUMN_NAMES]
    broken = sum(len(values) != len(header) for values in rows)
    notes = []
    if unknown:
        notes.append(
            f"{TABLE_NAME} is of another version of lorafa-prof: left out are its columns "
            + ", ".join(unknown)
        )
    if broken:
        notes.append(f"{TABLE_NAME}: left out are {broken:,} lines with too few or too many values")
    return tuple(notes)


def _known(lines: Iterable[list[str]]) -> Iterator[list[str]]:
    header, *rows = lines
    kept = [index for index, name in enumerate(header) if name in COLUMN_NAMES]
    for values in (header, *rows):
        if len(values) == len(header):
            yield [values[index] for index in kept]


def _write(lines: Iterable[list[str]], table: Path) -> None:
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)


def _read_provenance(out: Path) -> tuple[Mapping[str, Any], list[str]]:
    file = out / "provenance.json"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, [f"there is no {file.name}: versions, machine and command are not known"]
    except (OSError, ValueError) as error:
        return {}, [f"{file}: this cannot be read ({error}): versions, machine and command are not known"]
    if not isinstance(found, dict):
        return {}, [f"{file}: this is no record of lorafa-prof: versions, machine and command are not known"]
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        note = f"{file.name} has schema version {version}, this lorafa-prof writes {SCHEMA_VERSION}"
        return found, [f"{note}: what it means may differ"]
    return found, []


def _judge(out: Path, provenance: Mapping[str, Any]) -> tuple[Judgement | None, list[str]]:
    scenario = provenance.get("scenario")
    if not isinstance(scenario, dict) or not scenario.get("claims"):
        return None, []
    # Judging knows every method, which takes seconds to load; most runs claim nothing.
    from lorafa_prof.claims.baseline import baseline_beside
    from lorafa_prof.claims.gate import judged, kept_baseline, stored_gate

    try:
        gate, store, results = stored_gate(out, None)
        baseline = kept_baseline(gate, baseline_beside(gate.loaded.file))
        return judged(gate, results, store, baseline), []
    except LorafaProfError as error:
        return None, [f"its claims are not judged: {error}"]
