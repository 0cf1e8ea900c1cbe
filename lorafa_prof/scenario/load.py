"""From a scenario file and the command line's overrides to a validated `Scenario`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lorafa_prof.errors import ScenarioError, UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.schema import Scenario
from lorafa_prof.scenario.yaml_lines import Document, KeyPath, dotted, read_document


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario and where each of its keys stands, for errors found later."""

    scenario: Scenario
    file: Path
    document: Document

    def error(self, message: str, path: KeyPath) -> ScenarioError:
        """An error at `path` of this scenario."""
        return ScenarioError(
            message, file=self.file, line=self.document.line_of(path), key=dotted(path) or None
        )


def load_scenario(file: Path, overrides: Sequence[str] = ()) -> LoadedScenario:
    """Read, override and validate a scenario.

    Args:
        file: the YAML file.
        overrides: ``key=value`` each, dotted keys for nested ones, the value in YAML ("seq=[512, 1024]").

    Raises:
        ScenarioError: the file or an override is invalid; the line names file, line and key.
    """
    document = read_document(file)
    if not isinstance(document.data, dict):
        raise ScenarioError("a scenario is a mapping of keys to values, this is not", file=file, line=1)
    for override in overrides:
        _apply_override(document, override)
    try:
        scenario = Scenario.model_validate(document.data)
    except ValidationError as error:
        raise scenario_error(error, Scenario, file, document) from error
    return LoadedScenario(scenario, file, document)


def _apply_override(document: Document, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {override}: write it as key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override}: the value is no YAML") from error
    *parents, last = key.split(".")
    place = document.data
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UsageError(f"--set {override}: '{parent}' has no keys of its own")
    place[last] = value
    path = tuple(key.split("."))
    for known in [known for known in document.lines if known[: len(path)] == path]:
        del document.lines[known]


def scenario_error(
    error: ValidationError, schema: type[BaseModel], file: Path, document: Document, at: KeyPath = ()
) -> ScenarioError:
    """The first of pydantic's complaints as one line with file, line and key.

    Args:
        error: what pydantic found.
        schema: what was validated; its fields are the known keys.
        file, document: where the data came from.
        at: path of the validated data in the document.
    """
    first = error.errors()[0]
    path: KeyPath = (*at, *(part for part in first["loc"] if not str(part).startswith("function-")))
    message = _plain_words(first["type"], first["msg"], first.get("input"), path, schema)
    # A lone value of an axis is validated as a list of one: its index is not in the file.
    shown = path[:-1] if path and isinstance(path[-1], int) and path not in document.lines else path
    return ScenarioError(message, file=file, line=document.line_of(path), key=dotted(shown))


def _plain_words(kind: str, message: str, given: Any, path: KeyPath, schema: type[BaseModel]) -> str:
    if kind == "extra_forbidden":
        known = [field.alias or name for name, field in schema.model_fields.items()]
        return f"unknown key{nearest(str(path[-1]), known)}"
    if kind == "missing":
        return "this key is required"
    if kind == "too_short":
        return "the list is empty: nothing to sweep"
    plain = message[0].lower() + message[1:]
    plain = plain.removeprefix("value error, ").replace("input should be", "it should be")
    return f"{plain}, not {given!r}" if isinstance(given, (str, int, float, bool, type(None))) else plain
