"""Overrides: options of the command line that replace what the scenario file says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lorafa_prof.errors import UsageError
from lorafa_prof.scenario.yaml_lines import Document, KeyPath, YamlProblemError, dotted, parse_yaml

_KEY = re.compile(r"[\w-]+(\.[\w-]+|\[\d+\])*")
_PART = re.compile(r"\[(\d+)\]|([\w-]+)")


@dataclass(frozen=True)
class Override:
    """One value that replaces the file's own.

    Attributes:
        path: path of the value in the document.
        value: the new value, as YAML would give it.
        option: how the user wrote it, for errors ("--set batch=4").
    """

    path: KeyPath
    value: Any
    option: str


def parse_override(text: str) -> Override:
    """Return the override that ``key=value`` describes.

    Nested keys are written as errors show them ("steps.timed", "method[1].rank"), the value in YAML.

    Raises:
        UsageError: `text` is not of this form.
    """
    option = f"--set {text}"
    key, equals, written = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        raise UsageError(f"{option}: write it as KEY=VALUE, such as batch=4 or 'method[1].rank=[8, 64]'")
    try:
        value, _ = parse_yaml(written)
    except YamlProblemError as error:
        raise UsageError(f"{option}: {error}") from error
    path: KeyPath = tuple(int(index) if index else name for index, name in _PART.findall(key))
    return Override(path, value, option)


def apply_override(document: Document, override: Override) -> None:
    """Put the override's value into `document`, creating mappings on its path that are not there.

    Raises:
        UsageError: the document has no such place.
    """
    place = document.data
    for depth, part in enumerate(override.path):
        inside = dotted(override.path[:depth])
        if isinstance(part, int):
            if not isinstance(place, list):
                raise UsageError(f"{override.option}: '{inside}' is no list in the file")
            if part >= len(place):
                raise UsageError(f"{override.option}: '{inside}' has {len(place)} entries, counted from 0")
        elif not isinstance(place, dict):
            raise UsageError(f"{override.option}: '{inside}' has no keys of its own in the file")
        if depth < len(override.path) - 1:
            place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    document.replace(override.path, override.value, override.option)
