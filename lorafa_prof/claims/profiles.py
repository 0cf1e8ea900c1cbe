"""The gate of profiles of code of one's own: what options expect of them, for there is no scenario."""

from __future__ import annotations

import re
from pathlib import Path

from lorafa_prof.cell import OWN_CODE
from lorafa_prof.claims.checks import checks_of
from lorafa_prof.claims.gate import Gate, chosen_checks
from lorafa_prof.results.store import CellResults, Store
from lorafa_prof.scenario.load import validated_scenario
from lorafa_prof.scenario.overrides import Override
from lorafa_prof.scenario.yaml_lines import Document


def holds_profiles(out: Path) -> bool:
    """Whether a folder has profiles, and none of a scenario's results."""
    return not (out / "provenance.json").exists() and bool(_profiles(Store(out)))


def profiles_gate(out: Path, claims: Override, pattern: str | None) -> tuple[Gate, Store, CellResults]:
    """The claims on the profiles that `out` has, each on each of them, and the profiles.

    Args:
        out: a folder that `holds_profiles`.
        claims: what is expected.
        pattern: a regular expression: only claims whose name it matches.

    Raises:
        UsageError: a claim names no metric, or no amount of it; or the pattern matches no claim.
    """
    store = Store(out)
    results = store.load_all(_profiles(store))
    cells = [result.cell for result in results.values()]
    models = list(dict.fromkeys(cell.model.name for cell in cells))
    data = {"schema": 1, "name": _name(out), "model": models, "method": OWN_CODE}
    loaded = validated_scenario(Document(out, data), [claims])
    return Gate(loaded, (), chosen_checks(loaded, checks_of(loaded, cells), pattern)), store, results


def _name(out: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", out.resolve().name).lstrip("._-") or "profiles"


def _profiles(store: Store) -> list[str]:
    return [cell_id for cell_id in store.others(()) if OWN_CODE in cell_id]
