"""From the words of a command line to the cells of a scenario, for all commands that take one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lorafa_prof.cli.options import max_cells
from lorafa_prof.cli.say import say
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell
    from lorafa_prof.scenario.expand import PlannedCell, ResolveDevice
    from lorafa_prof.scenario.load import LoadedScenario


@dataclass(frozen=True)
class ScenarioCells:
    """The cells of a scenario.

    Attributes:
        loaded: the scenario, overrides done.
        planned: all its cells, with the places in the file that they came from.
        labels: what cells are called, by id.
        chosen: those that ``-k`` matches.
    """

    loaded: LoadedScenario
    planned: Sequence[PlannedCell]
    labels: Mapping[str, str]
    chosen: Sequence[Cell]

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return [plan.cell for plan in self.planned]

    @property
    def cell_ids(self) -> list[str]:
        """Ids of all cells, in the order of `planned`."""
        return [plan.cell.cell_id for plan in self.planned]


def loaded_scenario(name: str, overrides: Sequence[str], device: str | None = None) -> LoadedScenario:
    """The scenario of this file or shipped name; ``--set`` and ``--device`` stand before what it says.

    It may make as many cells as ``--max-cells`` says.

    Raises:
        UsageError: there is none, it is not valid, or an override is not.
    """
    from lorafa_prof.scenario.load import load_scenario
    from lorafa_prof.scenario.overrides import Override, parse_override
    from lorafa_prof.scenario.shipped import find_scenario

    settings = [parse_override(text) for text in overrides]
    if device is not None:
        settings.append(Override(("device",), device, f"--device {device}"))
    loaded = load_scenario(find_scenario(name), settings)
    for note in loaded.notes:
        say(f"warning: {note}")
    return replace(loaded, most_cells=max_cells() or loaded.most_cells)


def scenario_cells(loaded: LoadedScenario, resolve: ResolveDevice, pattern: str | None) -> ScenarioCells:
    """The cells of a scenario, and those of them that ``-k`` chooses.

    Raises:
        ScenarioError: as `expand` does.
        UsageError: the pattern is no regular expression, or matches no cell.
    """
    from lorafa_prof.scenario.expand import expand
    from lorafa_prof.scenario.labels import distinct_labels

    planned = expand(loaded, resolve)
    cells = [plan.cell for plan in planned]
    labels = distinct_labels(cells)
    return ScenarioCells(loaded, planned, labels, matching_cells(cells, labels, pattern))


def matching_cells(cells: Sequence[Cell], labels: Mapping[str, str], pattern: str | None) -> list[Cell]:
    """The cells whose id or label `pattern` matches; all of them where it is None.

    Raises:
        UsageError: the pattern is no regular expression, or matches none.
    """
    chosen = set(matching(labels, pattern, "no cell matches; lorafa-prof run --dry-run lists them"))
    return [cell for cell in cells if cell.cell_id in chosen]


def matching(labels: Mapping[str, str], pattern: str | None, none_matches: str) -> list[str]:
    """The ids of those labels that `pattern` matches, by id or label; all of them where it is None.

    Raises:
        UsageError: the pattern is no regular expression, or `none_matches`.
    """
    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"-k {pattern}: this is no regular expression: {error}") from error
    chosen = [known for known, label in labels.items() if wanted.search(known) or wanted.search(label)]
    if not chosen:
        raise UsageError(f"-k {pattern}: {none_matches}")
    return chosen
