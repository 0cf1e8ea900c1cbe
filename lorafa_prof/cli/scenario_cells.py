"""From the words of a command line to the cells of a scenario, for all commands that take one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.options import given_axes, max_cells, save_file
from lorafa_prof.cli.say import say
from lorafa_prof.errors import UsageError

if TYPE_CHECKING:
    from lorafa_prof.cell import Cell
    from lorafa_prof.scenario.expand import PlannedCell, ResolveDevice
    from lorafa_prof.scenario.load import LoadedScenario
    from lorafa_prof.scenario.overrides import Override
    from lorafa_prof.scenario.yaml_lines import Document


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


def loaded_scenario(
    name: str | None,
    overrides: Sequence[str],
    device: str | None = None,
    own: Sequence[Override] = (),
) -> LoadedScenario:
    """The scenario of this file or shipped name, or of the axes that are given as options.

    It may make as many cells as ``--max-cells`` says. Before what a file says stand axes, ``--set`` and
    ``--device``.

    Args:
        name: None: there is no file.
        overrides: what ``--set`` says.
        device: what ``--device`` says.
        own: what the command itself says of a scenario that no file has; axes stand before it.

    Raises:
        UsageError: there is none, it is not valid, or an option is not.
    """
    from lorafa_prof.scenario.load import loaded_document
    from lorafa_prof.scenario.overrides import Override, parse_override

    document = _document(name, own, device_is_given=device is not None)
    settings = [parse_override(text) for text in overrides]
    if device is not None:
        settings.append(Override(("device",), device, f"--device {device}"))
    loaded = loaded_document(document, settings)
    if (file := save_file()) is not None:
        from lorafa_prof.scenario.saved import save_scenario

        if name is not None:
            raise UsageError(f"--save {file}: {name} is a file already; --save writes one of axes alone")
        save_scenario(document, file)
        say(f"scenario: {file}")
    return replace(loaded, most_cells=max_cells() or loaded.most_cells)


def _document(name: str | None, own: Sequence[Override], *, device_is_given: bool) -> Document:
    given = given_axes()
    if name is None and "model" not in given:
        raise UsageError(
            "--model is missing, or a SCENARIO; `lorafa-prof list models` and `lorafa-prof list scenarios` "
            "show what there is"
        )
    if name is None:
        from lorafa_prof.scenario.given_axes import scenario_of_axes
        from lorafa_prof.scenario.overrides import apply_override

        document = scenario_of_axes(given, click.get_current_context().command_path)
        for each in own:
            apply_override(document, each)
    else:
        from lorafa_prof.scenario.load import read_scenario
        from lorafa_prof.scenario.shipped import find_scenario

        document = read_scenario(find_scenario(name))
    if given:
        from lorafa_prof.scenario.given_axes import put_over

        put_over(document, given, device_is_given=device_is_given)
    return document


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
