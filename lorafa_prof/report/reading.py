"""What of a folder of results can be read, and what must be said of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafa_prof.claims.finding import Judgement
from lorafa_prof.errors import LorafaProfError
from lorafa_prof.results.record import SCHEMA_VERSION
from lorafa_prof.results.records import KnownResults, Results
from lorafa_prof.results.soundness import UnsoundError, check_environment, read_json


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


def read_source(out: Path, known: KnownResults) -> Source:
    """All that there is beside the table."""
    provenance, provenance_notes = _read_provenance(out)
    judgement, claim_notes = _judge(out, provenance)
    notes = (*known.notes, *provenance_notes, *claim_notes)
    return Source(out, known.results, provenance, judgement, notes)


def _read_provenance(out: Path) -> tuple[Mapping[str, Any], list[str]]:
    file = out / "provenance.json"
    try:
        found = read_json(file)
    except FileNotFoundError:
        return {}, [f"there is no {file.name}: versions, machine and command are not known"]
    except (OSError, ValueError) as error:
        return {}, [f"{file}: this cannot be read ({error}): versions, machine and command are not known"]
    if not isinstance(found, dict):
        return {}, [f"{file}: this is no record of lorafa-prof: versions, machine and command are not known"]
    sound = {key: value for key, value in found.items() if _is_sound(key, value)}
    notes = [f"{file.name}: its {key} is not as this version writes it" for key in found if key not in sound]
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        note = f"{file.name} has schema version {version}, this lorafa-prof writes {SCHEMA_VERSION}"
        notes.append(f"{note}: what it means may differ")
    return sound, notes


def _is_sound(key: str, value: object) -> bool:
    """Whether the value of this key of provenance.json is of the kind that readers expect."""
    if key == "environments":
        return isinstance(value, list) and all(map(_is_environment, value))
    if key in ("command", "cells"):
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if key == "scenario":
        return isinstance(value, dict) and isinstance(value.get("device", []), list)
    return key != "written" or isinstance(value, str)


def _is_environment(value: object) -> bool:
    try:
        check_environment(value)
    except UnsoundError:
        return False
    return True


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
