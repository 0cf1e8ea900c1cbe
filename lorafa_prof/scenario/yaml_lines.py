"""Reading YAML with the line of every key, so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from lorafa_prof.errors import ScenarioError

KeyPath = tuple[str | int, ...]


@dataclass
class Document:
    """The data of a YAML file and the 1-based line of each of its keys and list items."""

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line_of(self, path: KeyPath) -> int | None:
        """Line of `path`, or of the innermost part of it that is in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def dotted(path: KeyPath) -> str:
    """``("method", 1, "rank")`` as ``method[1].rank``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(file: Path) -> Document:
    """Read a YAML file.

    Raises:
        ScenarioError: it cannot be read, is no YAML, or has a key twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ScenarioError(f"cannot be read: {reason}", file=file) from error
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        document = Document(None)
        document.data = _construct(loader, node, (), document.lines, file) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise ScenarioError(
            f"this is no YAML: {error.problem}", file=file, line=mark.line + 1 if mark else None
        ) from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"this is no YAML: {' '.join(str(error).split())}", file=file) from error
    finally:
        loader.dispose()
    return document


def _construct(
    loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], file: Path
) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = cast(Hashable, loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise ScenarioError(
                    "this key is there twice", file=file, line=line, key=dotted((*path, str(key)))
                )
            lines[(*path, str(key))] = line
            mapping[key] = _construct(loader, value_node, (*path, str(key)), lines, file)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [
            _construct(loader, item, (*path, index), lines, file) for index, item in enumerate(node.value)
        ]
    return loader.construct_object(node, deep=True)
