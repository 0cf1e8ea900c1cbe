"""What parameters of all commands have beyond click's: texts are completed, words suggest the nearest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from lorafa_prof.registry import nearest

#: Environment variable by which a shell that click has made a completion for asks.
COMPLETION_VARIABLE = "_LORAFA_PROF_COMPLETE"


class _Text(StringParamType):
    """A text that is completed by what its parameter is called: a scenario, the key of one, a figure."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """What may stand there; several values have commas between them."""
        del ctx
        if isinstance(param, click.Argument):
            return _scenarios(incomplete)
        before, comma, begun = incomplete.rpartition(",")
        option = max(param.opts, key=len).lstrip("-").replace("-", "_")
        known = _figures() if option == "figure" else _words_of(option)
        return [CompletionItem(f"{before}{comma}{word}") for word in known if word.startswith(begun)]


class _Choice(click.Choice[str]):
    """One of a few words; of another one the nearest is told."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """What is told of a word that is none of them."""
        del ctx
        return f"there is no '{value}'{nearest(str(value), self.choices)}; it takes {', '.join(self.choices)}"


def help_with(params: Iterable[click.Parameter]) -> None:
    """Let texts be completed and words be suggested; what has a type of its own says itself what it takes."""
    for param in params:
        if type(param.type) is StringParamType:
            param.type = _Text()
        elif type(param.type) is click.Choice:
            param.type = _Choice(param.type.choices, param.type.case_sensitive)


def _scenarios(incomplete: str) -> list[CompletionItem]:
    """Shipped ones and those in the current directory; where none begins so, files that the shell finds."""
    from lorafa_prof.scenario.shipped import shipped_scenarios

    names = [*shipped_scenarios(), *(file.name for file in sorted(Path().glob("*.yaml")))]
    begun = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return [CompletionItem(incomplete, type="file"), *begun]


def _figures() -> list[str]:
    """Names of the modules that make one, and other packages'; to import them takes seconds."""
    modules = (file for file in files("lorafa_prof.figures").iterdir() if file.name.endswith(".py"))
    own = [file.name for file in modules if "\nFIGURE = " in file.read_text(encoding="utf-8")]
    others = [point.name for point in entry_points(group="lorafa_prof.figures")]
    return [*sorted(name.removesuffix(".py").replace("_", "-") for name in own), *others]


def _words_of(key: str) -> list[str]:
    """What the shipped schema has for a key of a scenario or a method, and other packages' names.

    The catalogues themselves would take a second or more to load.
    """
    from lorafa_prof.scenario.shipped import schema_file

    schema = json.loads(schema_file().read_text(encoding="utf-8"))
    parts = schema["$defs"]
    keys = {name: option for part in parts.values() for name, option in part.get("properties", {}).items()}
    keys |= schema["properties"]
    words = [
        *_words(keys.get(key, {}), parts),
        *(point.name for point in entry_points(group=f"lorafa_prof.{key}s")),
    ]
    return list(dict.fromkeys(words))


def _words(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        schema = parts[schema["$ref"].removeprefix("#/$defs/")]
    values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())]
    if schema.get("type") == "boolean":
        values += [True, False]
    yield from (value if isinstance(value, str) else json.dumps(value) for value in values)
    for form in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _words(form, parts)
