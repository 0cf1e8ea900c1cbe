"""Reading YAML with the line of every key, so that an error can say where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorafa_prof.errors import ScenarioError
from lorafa_prof.scenario.yaml_data import (
    KeyPath,
    YamlProblemError,
    most_characters,
    parse_yaml,
)


def dotted(path: KeyPath) -> str:
    """Return a path as errors show it: ``("method", 1, "rank")`` becomes ``method[1].rank``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass
class Document:
    """The data of a YAML file and the line of each part.

    Attributes:
        file: the file.
        data: its data, as overridden by `replaced`.
        lines: 1-based line of each key and list item.
        replaced: path of each value that was replaced, and the option that did it.
    """

    file: Path
    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    replaced: dict[KeyPath, str] = field(default_factory=dict)

    def replace(self, path: KeyPath, value: Any, option: str) -> None:
        """Put `value` at `path`, whose parents exist; errors about it will name `option`, not a line."""
        place = self.data
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        self.lines = {known: line for known, line in self.lines.items() if known[: len(path)] != path}
        self.replaced[path] = option

    def as_written(self, path: KeyPath) -> KeyPath:
        """Return `path` without the indices of lone values.

        An axis is a list, but may be written without one.
        """
        written: KeyPath = ()
        place = self.data
        for part in path:
            if isinstance(part, int) and not isinstance(place, list):
                continue
            written = (*written, part)
            if isinstance(place, list) and isinstance(part, int) and part < len(place):
                place = place[part]
            else:
                place = place.get(part) if isinstance(place, dict) else None
        return written

    def value_at(self, path: KeyPath) -> Any:
        """Return what is written at `path`, which exists."""
        place = self.data
        for part in path:
            place = place[part]
        return place

    def has(self, path: KeyPath) -> bool:
        """Return whether something is written at `path`."""
        return path in self.lines or path in self.replaced

    def error(self, message: str, path: KeyPath = ()) -> ScenarioError:
        """Return an error about `path`.

        It names the innermost part of `path` that is in the file or was overridden.
        """
        path = self.as_written(path)
        key = dotted(path) or None
        for replaced, option in self.replaced.items():
            if path and replaced[: len(path)] == path:
                return ScenarioError(message, file=option, key=key)
        for length in range(len(path), -1, -1):
            inner = path[:length]
            if inner in self.replaced:
                return ScenarioError(message, file=self.replaced[inner], key=key)
            if inner in self.lines:
                return ScenarioError(message, file=self.file, line=self.lines[inner], key=key)
        return ScenarioError(message, file=self.file, key=key)


def read_document(file: Path) -> Document:
    """Return the document in a YAML file.

    Raises:
        ScenarioError: it cannot be read, is no YAML, or has a key twice.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(most_characters() + 1)  # a device or a mistaken file may have no end
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ScenarioError(f"cannot be read: {reason}", file=file) from error
    try:
        return Document(file, *parse_yaml(text))
    except YamlProblemError as problem:
        raise ScenarioError(str(problem), file=file, line=problem.line, key=dotted(problem.path)) from problem
