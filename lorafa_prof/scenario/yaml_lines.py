"""Reading YAML with the line of every key, so that an error can say where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lorafa_prof.errors import ScenarioError
from lorafa_prof.words.phrases import one_line

KeyPath = tuple[str | int, ...]
MERGE_TAG = "tag:yaml.org,2002:merge"


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
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ScenarioError(f"cannot be read: {reason}", file=file) from error
    try:
        return Document(file, *parse_yaml(text))
    except YamlProblemError as problem:
        raise ScenarioError(str(problem), file=file, line=problem.line, key=dotted(problem.path)) from problem


class YamlProblemError(Exception):
    """Text that is no YAML, or YAML that is no plain data; its message is one line."""

    def __init__(self, message: str, line: int | None = None, path: KeyPath = ()) -> None:
        super().__init__(one_line(message))
        self.line = line
        self.path = path


def parse_yaml(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """Return the data of one YAML document, and the 1-based line of each key and list item.

    Raises:
        YamlProblemError: the text is no YAML, or YAML that is no plain data.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            reader = _Reader(loader)
            if node is None:
                return None, {(): 1}
            return reader.value(node, (), ()), reader.lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # Such as "expected a single document in the stream", "but found another document".
        problem = (
            f"{error.context}, {error.problem}" if (error.problem or "").startswith("but") else error.problem
        )
        raise YamlProblemError(f"this is no YAML: {problem}", mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlProblemError(f"this is no YAML: {error.reason}", line) from error


class _Reader:
    """Turns YAML nodes into data and notes their lines."""

    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self.lines: dict[KeyPath, int] = {}

    def value(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Any:
        """Return the data of `node`, which stands at `path` inside the nodes `above`."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if any(node is outer for outer in above):
            raise YamlProblemError("an alias (*) stands inside what it names", self.lines[path], path)
        above = (*above, node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index), above) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        # Keys that come by a merge (<<) may be there again: the mapping's own one wins.
        own = {id(key) for key, _ in node.value if key.tag != MERGE_TAG}
        self._loader.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise YamlProblemError("a key is text; this one is not: put it in quotes", line, path)
            if id(key_node) in own:
                if key in seen:
                    raise YamlProblemError("this key is there twice", line, (*path, key))
                seen.add(key)
            self.lines[(*path, key)] = line
            mapping[key] = self.value(value_node, (*path, key), above)
        return mapping

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        try:
            return self._loader.construct_object(node, deep=True)
        except (ValueError, OverflowError) as error:
            # Such as 2026-13-45, which has the form of a date.
            line = node.start_mark.line + 1
            raise YamlProblemError(
                f"this value is not valid: {error}; quote it if it is text", line, path
            ) from error
