"""Loading a scenario: from its file and the command line's overrides to a validated `Scenario`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from lorafa_prof.errors import ScenarioError
from lorafa_prof.models.preset import PRESETS
from lorafa_prof.models.resolve import looks_like_path
from lorafa_prof.scenario.invalid import scenario_error
from lorafa_prof.scenario.overrides import Override, apply_override, parse_override
from lorafa_prof.scenario.schema import Scenario
from lorafa_prof.scenario.yaml_data import KeyPath
from lorafa_prof.scenario.yaml_lines import Document, read_document

#: Of a sweep, unless more are asked for: each takes seconds at least, so that this many take a night.
MOST_CELLS = 10_000


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario and where each of its keys stands, for errors found later.

    Attributes:
        most_cells: so many its axes may make, before those that are excluded are left out.
    """

    scenario: Scenario
    document: Document
    most_cells: int = MOST_CELLS

    @property
    def file(self) -> Path:
        """The scenario's file."""
        return self.document.file

    def error(self, message: str, path: KeyPath) -> ScenarioError:
        """Return an error at `path` of this scenario."""
        return self.document.error(message, path)


def load_scenario(file: Path, overrides: Sequence[str | Override] = ()) -> LoadedScenario:
    """Read a scenario from its file, override it, and return it validated; errors are as those of both steps.

    Args:
        file: the YAML file.
        overrides: as `loaded_document` takes them.
    """
    return loaded_document(read_scenario(file), overrides)


def read_scenario(file: Path) -> Document:
    """Return what a scenario's file says.

    Raises:
        ScenarioError: it cannot be read, or is no mapping; the line names the file.
    """
    document = read_document(Path(file))
    if document.data is None:
        raise document.error("the file is empty: a scenario is a mapping of keys to values")
    if not isinstance(document.data, dict):
        raise document.error("a scenario is a mapping of keys to values; this is not")
    return document


def loaded_document(document: Document, overrides: Sequence[str | Override] = ()) -> LoadedScenario:
    """Override what a file says, and return it validated, with paths that start at the file.

    Args:
        document: of the file, or of none, where paths start at the current directory.
        overrides: ``key=value`` each, nested keys as errors show them ("steps.timed", "method[1].rank"), the
            value in YAML ("seq=[512, 1024]"). Of two for the same key the later one counts.

    Raises:
        ScenarioError: the file or an override is invalid; the line names file, line and key, or the override.
    """
    loaded = validated_scenario(document, overrides)
    return replace(loaded, scenario=_with_paths_from(document, loaded.scenario))


def _with_paths_from(document: Document, scenario: Scenario) -> Scenario:
    """Let paths of models and data start at the scenario's file, but for those of the command line."""
    folder = document.file.parent
    if folder == Path():
        return scenario
    models = [
        model.model_copy(update={"folder": str(folder)})
        if not model.folder and _is_path(model.name, folder) and _is_written(document, ("model", index))
        else model
        for index, model in enumerate(scenario.model)
    ]
    task = scenario.task
    if task is not None and _is_data(task.data, folder) and _is_written(document, ("task", "data")):
        task = task.model_copy(update={"data": str(folder / Path(task.data).expanduser())})
    return scenario.model_copy(update={"model": models, "task": task})


def _is_path(name: str, folder: Path) -> bool:
    # Of `os.path`, since those of `Path` raise where a name is too long.
    return name not in PRESETS and (looks_like_path(name) or os.path.exists(folder / name))  # noqa: PTH110


def _is_data(name: str, folder: Path) -> bool:
    """Whether that is a file or folder, and not the hub's id of a data set."""
    return bool(name) and (looks_like_path(name) or os.path.exists(folder / name))  # noqa: PTH110


def _is_written(document: Document, place: KeyPath) -> bool:
    """Whether what stands there is the file's own, and not the command line's."""
    path = document.as_written(place)
    return not any(
        replaced[: len(path)] == path or path[: len(replaced)] == replaced for replaced in document.replaced
    )


def validated_scenario(document: Document, overrides: Sequence[str | Override]) -> LoadedScenario:
    """Override a document that was read already, or never stood in a file, and return it validated.

    Raises:
        ScenarioError: the document or an override is invalid; the line names file, line and key, or the
            override.
    """
    for override in overrides:
        apply_override(document, parse_override(override) if isinstance(override, str) else override)
    try:
        scenario = Scenario.model_validate(document.data)
    except ValidationError as error:
        raise scenario_error(error, Scenario, document) from error
    return LoadedScenario(scenario, document)
