"""From pydantic's complaints about a scenario to one plain line for the user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from lorafa_prof.cell import ModelChoice, Steps
from lorafa_prof.errors import ScenarioError
from lorafa_prof.parallel.shard import Shard
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.claim import Claim
from lorafa_prof.scenario.lengths import Lengths
from lorafa_prof.scenario.training import Training
from lorafa_prof.scenario.yaml_data import KeyPath
from lorafa_prof.scenario.yaml_lines import Document
from lorafa_prof.tasks.choice import TaskChoice

#: What a value should be, by the prefix of pydantic's name for the complaint.
_SHOULD_BE = {
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_": "a mapping of keys to values",
}
_INSIDE: dict[str, type[BaseModel]] = {
    "model": ModelChoice,
    "steps": Steps,
    "claims": Claim,
    "seq": Lengths,
    "shard": Shard,
    "task": TaskChoice,
    "training": Training,
}
#: Beginnings of what pydantic puts into a path and no file has.
_NOT_WRITTEN = ("function-", "seq:")
_NAMED = ("ModelChoice", "MethodEntry", "TaskChoice")


def scenario_error(
    error: ValidationError,
    schema: type[BaseModel],
    document: Document,
    at: KeyPath = (),
    index_of: Mapping[str, int] | None = None,
) -> ScenarioError:
    """Return the first of pydantic's complaints as one line with file, line and key; unknown keys come first.

    Args:
        error: what pydantic raised.
        schema: the model that was validated; its fields are the known keys.
        document: where the data came from.
        at: path of the validated data in the document.
        index_of: for keys whose list was taken apart before validating, which of its values was validated.
    """
    complaints = error.errors()
    first = next(
        (complaint for complaint in complaints if complaint["type"] == "extra_forbidden"), complaints[0]
    )
    place: list[str | int] = [part for part in first["loc"] if not str(part).startswith(_NOT_WRITTEN)]
    if place and index_of and place[0] in index_of:
        place.insert(1, index_of[str(place[0])])
    path: KeyPath = (*at, *place)
    message = _plain_words(
        first["type"], first["msg"], first.get("ctx", {}), first.get("input"), path, schema
    )
    return document.error(message, path)


def shown(value: Any) -> str:
    """Return a value about as a person would write it in YAML."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    return repr(value) if isinstance(value, (str, int, float)) else str(value)


def _plain_words(
    kind: str, message: str, context: dict[str, Any], given: Any, path: KeyPath, schema: type[BaseModel]
) -> str:
    if kind == "extra_forbidden":
        return _unknown_key(path, schema)
    if kind == "missing":
        return "this key is required"
    if kind == "too_short":
        return "the list is empty: nothing to sweep"
    if path == ("schema",):
        return f"this version of lorafa-prof reads schema 1, not {shown(given)}"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    should_be = _should_be(kind, message, context, path)
    return f"it should be {should_be}, not {shown(given)}" + _hint(kind, given, context)


def _should_be(kind: str, message: str, context: dict[str, Any], path: KeyPath) -> str:
    if context.get("class_name") in _NAMED:
        return "a name, or a mapping with a name"
    if path == ("name",) and kind == "string_pattern_mismatch":
        return "letters, digits, '.', '_' and '-' (the results' folder is called so)"
    for prefix, words in _SHOULD_BE.items():
        if kind.startswith(prefix):
            return words
    if kind == "greater_than_equal":
        return f"at least {context['ge']}"
    plain = message[0].lower() + message[1:]
    return plain.removeprefix("input should be ")


def _hint(kind: str, given: Any, context: Mapping[str, Any]) -> str:
    """The nearest of some words, or what YAML 1.2 takes for text, though YAML 1.1 or Python would not.

    These are yes and no, 1_000.
    """
    if not isinstance(given, str):
        return ""
    if kind == "literal_error":
        return nearest(given, re.findall("'([^']*)'", context["expected"]))
    meant: bool | int | float | None = None
    if kind.startswith("bool_"):
        meant = {"yes": True, "on": True, "no": False, "off": False}.get(given.casefold())
    elif kind.startswith(("int_", "float_")) and "_" in given:
        with suppress(ValueError):
            meant = int(given) if kind.startswith("int_") else float(given)
    return "" if meant is None else f"; YAML takes this for text: write {shown(meant)}"


def _unknown_key(path: KeyPath, schema: type[BaseModel]) -> str:
    key = str(path[-1])
    owner = _INSIDE.get(str(path[0]), schema) if len(path) > 1 else schema
    known = [field.alias or name for name, field in owner.model_fields.items()]
    if len(path) == 1 and (owners := _methods_with(key)):
        return f"an option of a method: write it in the method's entry, {{name: {owners[0]}, {key}: …}}"
    return f"unknown key{nearest(key, known)}"


def _methods_with(option: str) -> list[str]:
    from lorafa_prof.methods.base import METHODS

    return [name for name, method in METHODS.items() if option in method.options.model_fields]
