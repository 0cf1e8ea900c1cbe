"""Rows of a figure by module, few enough to read: of a typical layer, and of what stands outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lorafa_prof.figures.kit.layer_bytes import LayerBytes, Module, merged

_MOST_ROWS = 20
_MOST_OUTSIDE = 6

Key = TypeVar("Key")

Width = Callable[[str], float]


@dataclass(frozen=True)
class ModuleRow:
    """A module, or several with little, and the bytes of each cell in it."""

    label: str
    values: tuple[int, ...]


def layer_rows(cells: Sequence[LayerBytes], width: Width, most: float) -> list[ModuleRow]:
    """Modules of a typical layer in the order of forward; names are at most `most` wide by `width`.

    Names have the stack in front where there are several, as in T5.
    """
    typical = [cell.typical() for cell in cells]
    modules = merged(list(layer) for layer in typical)
    several = len({module.stack for module in modules}) > 1
    names = {module: _short(_name(module, several), width, most) for module in modules}
    return _rows(modules, names, typical, _MOST_ROWS)


def outside_rows(cells: Sequence[LayerBytes], width: Width, most: float) -> list[ModuleRow]:
    """What is in no layer, the most first."""
    held = [cell.outside for cell in cells]
    paths = dict.fromkeys(path for outside in held for path in outside)
    largest = sorted(paths, key=lambda path: -max(outside.get(path, 0) for outside in held))
    names = {path: _short(path or "(in no module)", width, most) for path in largest}
    return _rows(largest, names, held, _MOST_OUTSIDE)


def _rows(
    keys: Sequence[Key], names: Mapping[Key, str], cells: Sequence[Mapping[Key, int]], most: int
) -> list[ModuleRow]:
    """A row for each key; where there are more than `most`, those with least bytes are one row, the last."""
    largest = sorted(keys, key=lambda key: -max(cell.get(key, 0) for cell in cells))
    rest = set(largest[most - 1 :] if len(keys) > most else ())
    rows = [
        ModuleRow(names[key], tuple(cell.get(key, 0) for cell in cells)) for key in keys if key not in rest
    ]
    if rest:
        sums = tuple(sum(cell.get(key, 0) for key in rest) for cell in cells)
        rows.append(ModuleRow(f"{len(rest)} other modules", sums))
    return rows


def _name(module: Module, several: bool) -> str:
    inner = module.inner or "(the layer itself)"
    return f"{module.stack.split('.')[0]} {inner}" if several else inner


def _short(name: str, width: Width, most: float) -> str:
    """The name with parts from its middle left out, the longest first, until it is short enough."""
    parts = name.split(".")
    while width(_joined(parts)) > most:
        middle = [index for index in range(1, len(parts) - 1) if parts[index]]
        if not middle:
            return _cut(_joined(parts), width, most)
        parts[max(middle, key=lambda index: len(parts[index]))] = ""
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    """The parts with dots between them, an ellipsis for those that were left out."""
    return re.sub(r"\.{2,}", "…", ".".join(parts))


def _cut(name: str, width: Width, most: float) -> str:
    while width(f"{name}…") > most:
        name = name[:-1]
    return f"{name}…"
