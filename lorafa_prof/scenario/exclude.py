"""Rules of `exclude`: which cells are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorafa_prof.methods.base import METHODS
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.cell import Cell
from lorafa_prof.scenario.load import LoadedScenario
from lorafa_prof.scenario.options import same_option
from lorafa_prof.scenario.schema import AXES, as_list


def check_exclusions(loaded: LoadedScenario) -> None:
    """Raise ScenarioError for a rule with an unknown key, or without any."""
    known = {"model", "method", "device", "gpu", *AXES}
    for method in METHODS.values():
        known |= set(method.options.model_fields)
    for index, rule in enumerate(loaded.scenario.exclude):
        if not rule:
            raise loaded.error("an empty rule would exclude every cell", ("exclude", index))
        for key in rule:
            if key not in known:
                raise loaded.error(f"unknown key{nearest(key, sorted(known))}", ("exclude", index, key))


def excluding(cell: Cell, rules: Sequence[Mapping[str, Any]]) -> list[int]:
    """Indices of the rules that match `cell`: all keys of a rule must, each by any one of its values."""
    return [
        index
        for index, rule in enumerate(rules)
        if all(any(_is(cell, key, value) for value in as_list(wanted)) for key, wanted in rule.items())
    ]


def _is(cell: Cell, key: str, wanted: Any) -> bool:
    if key == "model":
        return bool(cell.model.name == wanted)
    if key == "method":
        return bool(cell.method.name == wanted)
    if key in cell.method.options:
        return same_option(METHODS[cell.method.name], cell.method.options, key, wanted)
    return key in Cell.model_fields and bool(getattr(cell, key) == wanted)
