"""From the text of one YAML document to plain data with the line of each key, within limits.

A scenario has some hundred values. What has very many, or names itself over and over by aliases, would be
read for minutes and fill the memory: it is refused by its number.
"""

from __future__ import annotations

import os
from typing import Any

import yaml

from lorafa_prof.errors import UsageError
from lorafa_prof.one_line import bounded_line
from lorafa_prof.scenario.yaml_scalars import FORMS, TAG, scalar

KeyPath = tuple[str | int, ...]
Pairs = list[tuple[yaml.ScalarNode, yaml.Node]]

MERGE_TAG = f"{TAG}merge"
#: Lists and mappings inside each other.
DEEPEST = 64
#: Values and keys that are written, and by how many times more there may be where aliases (*) repeat them.
MOST_VALUES = 10_000
_REPEATED = 10
_CHARACTERS_A_VALUE = 25
#: The environment variable that sets another number of values.
MOST_VALUES_VARIABLE = "LORAFA_PROF_YAML_VALUES"


class YamlProblemError(Exception):
    """Text that is no YAML, or YAML that is no plain data; says so in one line."""

    def __init__(self, message: str, line: int | None = None, path: KeyPath = ()) -> None:
        super().__init__(bounded_line(message))
        self.line = line
        self.path = path


def most_values() -> int:
    """The limit on values of a file: `MOST_VALUES`, or what the environment says.

    Raises:
        UsageError: what it says is no number.
    """
    written = os.environ.get(MOST_VALUES_VARIABLE, str(MOST_VALUES))
    if not (written.isascii() and written.isdecimal() and len(written) < 10):
        raise UsageError(f"{MOST_VALUES_VARIABLE}={written}: write a number of values, such as 100000")
    return int(written)


def most_characters() -> int:
    """The limit on characters of a file, by `most_values`."""
    return _CHARACTERS_A_VALUE * most_values()


def parse_yaml(text: str) -> tuple[Any, dict[KeyPath, int]]:
    """The data of one YAML document, and the 1-based line of each key and list item.

    Raises:
        YamlProblemError: there are no such data.
    """
    if len(text) > most_characters():
        raise YamlProblemError(f"this has more than {most_characters():,} characters: {_remedy()}")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            reader = _Reader()
            if node is None:
                return None, {(): 1}
            return reader.value(node, (), ()), reader.lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # Such as "expected a single document in the stream", "but found another document".
        said = (
            f"{error.context}, {error.problem}" if (error.problem or "").startswith("but") else error.problem
        )
        raise YamlProblemError(f"this is no YAML: {said}", mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlProblemError(f"this is no YAML: {error.reason}", line) from error
    except (ValueError, OverflowError) as error:
        # PyYAML's own scanner, of an escape such as "\UFFFFFFFF".
        raise YamlProblemError(f"this is no YAML: {error}") from error


def _remedy() -> str:
    return f"make several scenarios of it, or set {MOST_VALUES_VARIABLE}"


class _Loader(yaml.SafeLoader):
    """Composes nodes by the forms of YAML 1.2, as many and as deep as the limits allow."""

    yaml_implicit_resolvers: dict[Any, Any] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._most = most_values()
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        self._nodes += 1
        if self._nodes > self._most:
            raise YamlProblemError(f"this has more than {self._most:,} values: {_remedy()}", line)
        self._depth += 1
        if self._depth > DEEPEST:
            raise _too_deep(line)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _kind, _form, _first in FORMS:
    _Loader.add_implicit_resolver(f"{TAG}{_kind}", _form, _first)


class _Reader:
    """Turns nodes into data and notes their lines."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._values = 0
        self._most = _REPEATED * most_values()
        self._merged: dict[int, Pairs] = {}

    def value(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Any:
        """The data of `node`, which stands at `path` inside the nodes `above`."""
        line = self.lines.setdefault(path, node.start_mark.line + 1)
        self._count(line)
        if any(node is each for each in above):
            raise YamlProblemError("an alias (*) stands inside what it names", line, path)
        if len(above) >= DEEPEST:
            raise _too_deep(line)
        above = (*above, node)
        if isinstance(node, yaml.MappingNode):
            _check_tag(node, "map", path)
            return self._mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            _check_tag(node, "seq", path)
            return [self.value(item, (*path, index), above) for index, item in enumerate(node.value)]
        return _scalar(node, path)

    def _count(self, line: int) -> None:
        self._values += 1
        if self._values > self._most:
            raise YamlProblemError(
                f"aliases (*) make more than {self._most:,} values of this: {_remedy()}", line
            )

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in self._pairs(node, path, ()):
            key = str(key_node.value)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            mapping[key] = self.value(value_node, (*path, key), above)
        return mapping

    def _pairs(self, node: yaml.MappingNode, path: KeyPath, merging: tuple[yaml.Node, ...]) -> Pairs:
        """The mapping's keys and values, each key once: its own, and those that come by a merge (<<)."""
        if id(node) in self._merged:
            return self._merged[id(node)]
        line = node.start_mark.line + 1
        if any(node is each for each in merging):
            raise YamlProblemError("a mapping is merged (<<) into itself", line, path)
        if len(merging) >= DEEPEST:
            raise _too_deep(line)
        own: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == MERGE_TAG:
                # Of several the first one wins, and the mapping's own key over all.
                for source in reversed(_sources(value_node, path)):
                    for pair in self._pairs(source, path, (*merging, node)):
                        self._count(line)
                        merged[str(pair[0].value)] = pair
                continue
            key = _key(key_node, path)
            if key in own:
                raise YamlProblemError("this key is there twice", key_node.start_mark.line + 1, (*path, key))
            own[key] = (key_node, value_node)
        pairs = list({**merged, **own}.values())
        self._merged[id(node)] = pairs
        return pairs


def _sources(node: yaml.Node, path: KeyPath) -> list[yaml.MappingNode]:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for each in nodes:
        if not isinstance(each, yaml.MappingNode):
            raise YamlProblemError(
                "<< merges mappings; this is none: put it in quotes if it is a key",
                each.start_mark.line + 1,
                path,
            )
    return list(nodes)


def _key(node: yaml.Node, path: KeyPath) -> str:
    key = _scalar(node, path) if isinstance(node, yaml.ScalarNode) else None
    if not isinstance(key, str):
        line = node.start_mark.line + 1
        raise YamlProblemError("a key is text; this one is not: put it in quotes", line, path)
    return key


def _scalar(node: yaml.Node, path: KeyPath) -> Any:
    try:
        return scalar(node.tag, node.value)
    except ValueError as error:
        raise YamlProblemError(str(error), node.start_mark.line + 1, path) from error


def _check_tag(node: yaml.Node, kind: str, path: KeyPath) -> None:
    if node.tag != f"{TAG}{kind}":
        written = node.tag.replace(TAG, "!!")
        raise YamlProblemError(
            f"the tag {written} is not read: write plain data, without the tag",
            node.start_mark.line + 1,
            path,
        )


def _too_deep(line: int) -> YamlProblemError:
    return YamlProblemError(f"lists and mappings stand inside each other more than {DEEPEST} deep", line)
