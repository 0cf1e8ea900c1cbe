"""The rules of a scenario's `exclude`, which leave cells out."""

from __future__ import annotations

from collections.abc import Sequence

from lorafa_prof.cell import Cell
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.select import Rule, selectable_keys, selects


def check_exclusions(loaded: LoadedScenario) -> None:
    """Raise ScenarioError if a rule has no key, or one that is unknown."""
    known = selectable_keys()
    for index, rule in enumerate(loaded.scenario.exclude):
        if not rule:
            raise loaded.error("an empty rule would exclude every cell", ("exclude", index))
        for key in rule:
            if key not in known:
                raise loaded.error(f"unknown key{nearest(key, sorted(known))}", ("exclude", index, key))


def excluding(cell: Cell, rules: Sequence[Rule]) -> list[int]:
    """Return the indices of the rules that match `cell`."""
    return [index for index, rule in enumerate(rules) if selects(rule, cell)]
