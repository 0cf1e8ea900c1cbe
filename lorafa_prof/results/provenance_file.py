"""OUT/provenance.json: where the results come from, and whether they all come from the same machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lorafa_prof.results.masking import masked
from lorafa_prof.results.record import SCHEMA_VERSION, CellResult
from lorafa_prof.results.store import Store
from lorafa_prof.scenario.schema import Scenario


def write_provenance(
    store: Store, scenario: Scenario, results: Sequence[CellResult], command: Sequence[str]
) -> None:
    """Write the scenario as resolved, the command, and every distinct machine that gave a result.

    Args:
        store: the run's folder.
        scenario: the scenario as overridden and with its defaults.
        results: the results that are in the table.
        command: the arguments of the last run; what looks like a secret in them is masked.
    """
    cells = [result.cell.cell_id for result in results]
    store.write_provenance(
        provenance_of(scenario, cells, [result.environment for result in results], command)
    )


def provenance_of(
    scenario: Scenario,
    cell_ids: Sequence[str],
    environments: Sequence[Mapping[str, Any]],
    command: Sequence[str],
) -> dict[str, Any]:
    """Return what provenance.json holds; each environment once, and empty ones not at all."""
    known = [environment for environment in environments if environment]
    return {
        "schema_version": SCHEMA_VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["lorafa-prof", *masked(command)],
        "scenario": scenario.model_dump(mode="json", by_alias=True),
        "cells": list(cell_ids),
        "environments": [env for index, env in enumerate(known) if env not in known[:index]],
    }


def environment_difference(results: Sequence[CellResult], now: Mapping[str, Any]) -> str | None:
    """Return one line if some of `results` come from other software or another machine than `now`, else None.

    Only what bears on a measurement counts: versions of packages, the build of torch, the allocator's
    settings, and for cells on the CPU the CPU. (Another GPU is another cell.)
    """
    differing = 0
    then: dict[str, str] = {}
    for result in results:
        old = _comparable(result.environment, result.cell.device)
        new = _comparable(now, result.cell.device)
        changed = {name: value for name, value in old.items() if new.get(name) != value}
        differing += bool(changed)
        then |= changed
    if not differing:
        return None
    current = {**_comparable(now, "cpu")}
    changes = ", ".join(f"{name} {value} (now {current.get(name)})" for name, value in then.items())
    cells = "1 kept cell was" if differing == 1 else f"{differing} kept cells were"
    return f"{cells} measured with {changes}; --rerun all measures everything alike"


def _comparable(environment: Mapping[str, Any], device: str) -> dict[str, str]:
    if not environment:
        return {}
    values = {
        **environment.get("packages", {}),
        "CUDA": environment.get("torch", {}).get("cuda"),
        **environment.get("allocator", {}),
    }
    if device == "cpu":
        values["CPU"] = environment.get("host", {}).get("cpu")
    return {name: value or "none" for name, value in values.items()}
