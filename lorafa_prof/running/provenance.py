"""OUT/provenance.json: where the results come from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from lorafa_prof.results.record import SCHEMA_VERSION, CellResult
from lorafa_prof.running.store import Store
from lorafa_prof.scenario.schema import Scenario


def write_provenance(
    store: Store, scenario: Scenario, results: Sequence[CellResult], command: Sequence[str]
) -> None:
    """Write the scenario as resolved, the command, and every distinct machine that gave a result."""
    environments = [result.environment for result in results if result.environment]
    distinct = [env for index, env in enumerate(environments) if env not in environments[:index]]
    store.write_provenance(
        {
            "schema_version": SCHEMA_VERSION,
            "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "command": ["lorafa-prof", *command[1:]],
            "scenario": scenario.model_dump(mode="json", by_alias=True),
            "cells": [result.cell.cell_id for result in results],
            "environments": distinct,
        }
    )
